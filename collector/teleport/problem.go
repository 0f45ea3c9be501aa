package teleport

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
		return fmt.Errorf("decode audit event: not JSON at byte %d", syntax.Offset)
	}
	return errors.New("decode audit event: not JSON")
}

// path leaves out the Go names of embedded parts, which are no members.
func path(field string) string {
	return strings.TrimPrefix(strings.TrimPrefix(field, "identity."), "session.")
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	}
	return "an object"
}
