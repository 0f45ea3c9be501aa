package teleport

import (
	"fmt"

	"github.com/custody-audit/custody/schemas/event"
)

// maxListBytes bounds a list of texts, so that nobody keeps an event out of the
// record by making it larger than one may be.
const maxListBytes = 16 << 10

// bounded cuts a list with a warning that names its field.
func bounded(e *event.Event, field string, list []string) []string {
	size := 0
	for i, s := range list {
		if size += len(s); size > maxListBytes || i == event.MaxList {
			e.Warnings = append(e.Warnings, fmt.Sprintf("%s cut: %d entries, %d kept", field, len(list), i))
			return list[:i:i]
		}
	}
	return list
}
