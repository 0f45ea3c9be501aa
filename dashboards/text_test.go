package dashboards_test

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

func newOf(t reflect.Type) any { return reflect.New(t).Interface() }

// text is a cell as the golden files have it.
func text(v any) string {
	value := reflect.Indirect(reflect.ValueOf(v))
	if value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return "NULL"
		}
		value = value.Elem()
	}
	if at, ok := value.Interface().(time.Time); ok {
		return at.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return strings.ReplaceAll(fmt.Sprint(value.Interface()), "\n", `\n`)
}
