package event

import (
	"fmt"
	"time"
)

// Time is an instant in microseconds since 1970-01-01 UTC; zero is absent.
// In JSON it is an RFC 3339 string, canonically in UTC with six decimals.
// Finer source times are cut: the pipeline orders by offset, not by time.
type Time int64

const timeLayout = "2006-01-02T15:04:05.000000Z"

// TimeOf converts t, cutting to microseconds. The zero time.Time is absent.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMicro())
}

// ParseTime reads an RFC 3339 time of any offset.
func ParseTime(s string) (Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("%q is not an RFC 3339 time", s)
	}
	if y := t.UTC().Year(); y < 1970 || y > 9999 {
		return 0, fmt.Errorf("year %d is outside 1970-9999", y)
	}
	return TimeOf(t), nil
}

// Go returns t as a time.Time in UTC; the zero time.Time when absent.
func (t Time) Go() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(t)).UTC()
}

// Add returns t+d.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Microseconds()) }

// Sub returns t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Microsecond }

// String is the canonical form; empty when absent.
func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return t.Go().Format(timeLayout)
}

func (t Time) appendJSON(b []byte) []byte {
	b = append(b, '"')
	b = t.Go().AppendFormat(b, timeLayout)
	return append(b, '"')
}

// MarshalText lets encoding/json write the canonical form.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (t *Time) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*t = 0
		return nil
	}
	v, err := ParseTime(string(b))
	*t = v
	return err
}
