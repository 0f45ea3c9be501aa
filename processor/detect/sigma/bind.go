package sigma

import (
	"fmt"
	"strings"
)

// binder collects the values of a query, which never become part of its text.
type binder struct{ values map[string]string }

// escaped writes a text as ClickHouse reads the value of a String parameter: as in
// its TSV, where a tab or a line break ends it.
var escaped = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`)

// text binds a text and returns how the query names it.
func (b *binder) text(value string) string { return b.as(escaped.Replace(value), "String") }

// as binds a value that ClickHouse parses as a type.
func (b *binder) as(value, of string) string {
	name := fmt.Sprintf("v%d", len(b.values))
	b.values[name] = value
	return "{" + name + ":" + of + "}"
}
