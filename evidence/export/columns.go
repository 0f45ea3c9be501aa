package export

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// kind is what a column holds.
type kind int

const (
	text   kind = iota
	number      // int64
	flag        // bool
	moment      // event.Time; 0 is absent
	list        // []string
	object      // as JSON text; empty when there is nothing
)

// column is a field of an event or a fact.
type column struct {
	name  string
	kind  kind
	fact  bool
	index [][]int // of the field in each struct on the way
}

// columns are those of every event, in the order of the Go types.
var columns = append(flatten(reflect.TypeFor[event.Event](), nil, nil, false), flatten(reflect.TypeFor[query.Facts](), nil, nil, true)...)

func flatten(t reflect.Type, path []string, index [][]int, fact bool) (out []column) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := append(path[:len(path):len(path)], name)
		c := column{name: columnName(at), fact: fact, index: append(index[:len(index):len(index)], f.Index)}
		switch {
		case f.Type == reflect.TypeFor[event.Time]():
			c.kind = moment
		case f.Type.Kind() == reflect.Struct:
			out = append(out, flatten(f.Type, at, c.index, fact)...)
			continue
		case f.Type.Kind() == reflect.Int64:
			c.kind = number
		case f.Type.Kind() == reflect.Bool:
			c.kind = flag
		case f.Type == reflect.TypeFor[[]string]():
			c.kind = list
		case f.Type.Kind() == reflect.Slice, f.Type.Kind() == reflect.Map:
			c.kind = object
		}
		out = append(out, c)
	}
	return out
}

// columnName names a column as ClickHouse does.
func columnName(path []string) string {
	switch joined := strings.Join(path, "_"); joined {
	case "token_token_type":
		return "token_type"
	case "correlation_decision_id":
		return joined
	default:
		return strings.TrimPrefix(joined, "correlation_")
	}
}

// of returns the field.
func (c *column) of(row *query.Row) reflect.Value {
	v := reflect.ValueOf(row.Event).Elem()
	if c.fact {
		v = reflect.ValueOf(&row.Facts).Elem()
	}
	for _, i := range c.index {
		v = v.FieldByIndex(i)
	}
	return v
}

// jsonText is a slice or a map as JSON.
func jsonText(v reflect.Value) string {
	if v.Len() == 0 {
		return ""
	}
	b, _ := json.Marshal(v.Interface()) // strings and bools
	return string(b)
}
