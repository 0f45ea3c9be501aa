package authzen

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
		return fmt.Errorf("decode log record: not JSON at byte %d", syntax.Offset)
	}
	return errors.New("decode log record: not JSON")
}

// path leaves out the Go names of embedded parts, which are no members.
func path(field string) string {
	return strings.TrimPrefix(strings.Replace(field, "request.evaluation.", "request.", 1), "decision.")
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Slice:
		return "an array"
	}
	return "an object"
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
