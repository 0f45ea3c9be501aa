package authzen

import (
	"errors"
	"fmt"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// path leaves out the Go names of embedded parts, which are no members.
func path(field string) string {
	return strings.TrimPrefix(strings.Replace(field, "request.evaluation.", "request.", 1), "decision.")
}

// within puts the field of a problem below path.
func within(path string, err error) error {
	var problems event.Problems
	if !errors.As(err, &problems) {
		return fmt.Errorf("%s: %w", path, err)
	}
	for i := range problems {
		problems[i].Field = strings.TrimSuffix(path+"."+problems[i].Field, ".")
	}
	return problems
}
