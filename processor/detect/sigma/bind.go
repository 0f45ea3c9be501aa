package sigma

import (
	"fmt"

	"github.com/custody-audit/custody/schemas/table"
)

// binder collects the values of a query, which never become part of its text.
type binder struct{ values map[string]string }

// text binds a text and returns how the query names it.
func (b *binder) text(value string) string { return b.as(table.Text(value), "String") }

// as binds a value that ClickHouse parses as a type.
func (b *binder) as(value, of string) string {
	name := fmt.Sprintf("v%d", len(b.values))
	b.values[name] = value
	return "{" + name + ":" + of + "}"
}
