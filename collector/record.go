package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/custody-audit/custody/schemas/event"
)

// DecodeError makes encoding/json's error one that names the member which is wrong
// and shows nothing of its value. what names the record ("audit event"), path turns
// the error's path of fields, which has the Go names of embedded parts in it, into
// the record's own.
func DecodeError(err error, what string, path func(string) string) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return event.Problems{{Field: path(wrong.Field), Reason: "want " + jsonKind(wrong.Type)}}
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("decode %s: not JSON at byte %d", what, syntax.Offset)
	}
	return fmt.Errorf("decode %s: not JSON", what)
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Uint32:
		return "a number"
	case reflect.Slice:
		return "an array"
	}
	return "an object"
}

// CutList cuts a list of texts to so many bytes, with a warning that names its
// field, so that nobody keeps an event out of the record by making it larger than
// one may be.
func CutList(e *event.Event, field string, list []string, bytes int) []string {
	size := 0
	for i, s := range list {
		if size += len(s); size > bytes || i == event.MaxList {
			e.Warnings = append(e.Warnings, fmt.Sprintf("%s cut: %d entries, %d kept", field, len(list), i))
			return list[:i:i]
		}
	}
	return list
}
