package table

import (
	"strings"
	"time"
)

// Values of the parameters of a query, as ClickHouse reads them.

// Micro writes a time as a DateTime64(6) in UTC.
func Micro(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000") }

// Text writes a String: as in ClickHouse's TSV, where a tab or a line break would end it.
func Text(s string) string { return textEscapes.Replace(s) }

var textEscapes = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`)

// Words writes an Array(String) of words that have no quote, backslash or line break,
// as tenants, kinds, types and ids.
func Words(words []string) string {
	if len(words) == 0 {
		return "[]"
	}
	return "['" + strings.Join(words, "','") + "']"
}
