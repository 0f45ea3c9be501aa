package board

import (
	"errors"
	"fmt"
	"strings"
)

// Header is the comment that a .sql file begins with: the question in the first
// sentence, then lines "-- Row:", "-- Units:", "-- Not covered:" and "-- Empty:",
// each of which may continue on further comment lines. It is the panel's
// description, so the file and the panel cannot say different things.
type Header struct {
	Question   string
	Row        string // what one row is
	Units      string // what the numbers count
	NotCovered string // what the answer does not tell
	Empty      string // what the panel shows when there is no row
}

// parseHeader splits a file into its header and its statement.
func parseHeader(text string) (Header, string) {
	var h Header
	fields := map[string]*string{"Row": &h.Row, "Units": &h.Units, "Not covered": &h.NotCovered, "Empty": &h.Empty}
	field := &h.Question
	for strings.HasPrefix(text, "--") {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		line = strings.TrimSpace(strings.TrimPrefix(line, "--"))
		if key, value, ok := strings.Cut(line, ": "); ok && fields[key] != nil {
			field, line = fields[key], value
		}
		*field = strings.TrimSpace(*field + " " + line)
	}
	return h, strings.TrimSpace(text)
}

func (h Header) check() error {
	var errs []error
	for name, value := range map[string]string{"question": h.Question, "Row": h.Row, "Units": h.Units, "Not covered": h.NotCovered, "Empty": h.Empty} {
		if value == "" {
			errs = append(errs, fmt.Errorf("the header has no %s", name))
		}
	}
	return errors.Join(errs...)
}

// Description is the text behind a panel's "i", in Markdown.
func (h Header) Description() string {
	return fmt.Sprintf("%s\n\n**One row:** %s\n\n**Units:** %s\n\n**Not covered:** %s", h.Question, h.Row, h.Units, h.NotCovered)
}
