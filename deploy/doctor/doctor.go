// Package doctor looks at what an installation needs and says what to do where it
// is not so.
//
// It stands beside the services: it asks what they would ask, with their settings
// and as their users, and changes nothing. A check that rests on one which failed is
// skipped and says so.
package doctor

import (
	"context"
	"time"
)

// State of what was looked at.
type State string

// The states. A warning is right now and will not stay so.
const (
	OK      State = "ok"
	Warning State = "warning"
	Failed  State = "failed"
	Skipped State = "skipped"
)

// Finding is what a check says about one thing.
type Finding struct {
	// Check is what was looked at, as "kafka.topics".
	Check string `json:"check"`
	State State  `json:"state"`
	// Detail is what was seen.
	Detail string `json:"detail"`
	// Next is what to do; empty when it is ok.
	Next string `json:"next,omitempty"`
}

// Check looks at something; it ends within the time of its context.
type Check func(ctx context.Context) []Finding

// timeout bounds one check, which may ask several servers.
const timeout = 20 * time.Second

// Run looks at everything, one after the other, and tells each finding as it comes.
func Run(ctx context.Context, checks []Check, told func(Finding)) {
	for _, c := range checks {
		bounded, cancel := context.WithTimeout(ctx, timeout)
		for _, f := range c(bounded) {
			told(f)
		}
		cancel()
	}
}

// skew is how far two clocks may be apart: stored times and times of events are
// compared in windows of seconds.
const skew = 2 * time.Second

func ok(check, detail string) Finding            { return Finding{check, OK, detail, ""} }
func failed(check, detail, next string) Finding  { return Finding{check, Failed, detail, next} }
func warning(check, detail, next string) Finding { return Finding{check, Warning, detail, next} }
func skipped(check, detail, next string) Finding { return Finding{check, Skipped, detail, next} }
