package cerbos

import (
	"strings"
)

// path leaves out the Go names of embedded parts, which are no members.
func path(field string) string {
	return strings.TrimPrefix(field, "entry.")
}
