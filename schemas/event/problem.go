package event

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with an event.
type Problem struct {
	// Field is the path of the field, for example "exchange.granted_scope[3]"; empty for the event as a whole.
	Field string `json:"field,omitempty"`
	// Reason says what is wrong and what is wanted.
	Reason string `json:"reason"`
}

// Problems is every problem found, in the order of the input; it is an error
// when not empty. At most [MaxProblems] are kept.
type Problems []Problem

// MaxProblems bounds what one bad event can make us write.
const MaxProblems = 32

func (p Problems) Error() string {
	var sb strings.Builder
	for i, q := range p {
		if i > 0 {
			sb.WriteString("; ")
		}
		if q.Field != "" {
			sb.WriteString(q.Field + ": ")
		}
		sb.WriteString(q.Reason)
	}
	return sb.String()
}

func (p *Problems) add(field, format string, args ...any) {
	if len(*p) < MaxProblems {
		*p = append(*p, Problem{field, fmt.Sprintf(format, args...)})
	}
}

func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
