package cerbos

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// malformed names the member that is wrong and shows nothing of its value.
func malformed(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return event.Problems{{Field: path(wrong.Field), Reason: "want " + jsonKind(wrong.Type)}}
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("decode audit log entry: not JSON at byte %d", syntax.Offset)
	}
	return errors.New("decode audit log entry: not JSON")
}

// path leaves out the Go names of embedded parts, which are no members.
func path(field string) string {
	return strings.TrimPrefix(field, "entry.")
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Uint32:
		return "a number"
	case reflect.Slice:
		return "an array"
	}
	return "an object"
}
