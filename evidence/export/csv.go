package export

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// csvWriter writes RFC 4180 with a header line. A list is a JSON array.
type csvWriter struct {
	w     *csv.Writer
	cells []string
}

func newCSV(w io.Writer) (Writer, error) {
	c := &csvWriter{w: csv.NewWriter(w), cells: make([]string, len(columns))}
	for i := range columns {
		c.cells[i] = columns[i].name
	}
	return c, c.w.Write(c.cells)
}

func (c *csvWriter) Write(row *query.Row) error {
	for i := range columns {
		switch v := columns[i].of(row); columns[i].kind {
		case text:
			c.cells[i] = Harmless(v.String())
		case number:
			c.cells[i] = strconv.FormatInt(v.Int(), 10)
		case flag:
			c.cells[i] = strconv.FormatBool(v.Bool())
		case moment:
			c.cells[i] = ""
			if t := event.Time(v.Int()); t != 0 {
				c.cells[i] = t.String()
			}
		case list, object:
			c.cells[i] = jsonText(v)
		}
	}
	return c.w.Write(c.cells)
}

func (c *csvWriter) Close() error {
	c.w.Flush()
	return c.w.Error()
}

// Harmless puts a quote before what a spreadsheet would take for a formula: names
// and user agents are an attacker's to choose.
func Harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
