package agentgateway

import (
	"errors"
	"fmt"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// parseTime reads the gateway's time. It writes microseconds without leading
// zeros (crates/core/src/telemetry/date.rs): "09:00:01.417Z" is 417 us after the
// second, not 417 ms. Another number of digits than up to six is not its own
// writing and means what RFC 3339 says.
func parseTime(s string) (event.Time, error) {
	head, fraction, ok := strings.Cut(s, ".")
	if digits, utc := strings.CutSuffix(fraction, "Z"); ok && utc && len(digits) > 0 && len(digits) < 6 {
		s = fmt.Sprintf("%s.%06sZ", head, digits)
	}
	t, err := event.ParseTime(s)
	if err != nil || t == 0 { // the text is not repeated: it may be anything
		return 0, errors.New("want an RFC 3339 time")
	}
	return t, nil
}
