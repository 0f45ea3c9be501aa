package authzen

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// decision is an Access Evaluation response.
type decision struct {
	Decision *bool          `json:"decision"`
	Context  map[string]any `json:"context"`
}

// response is that of either API, or of a search, which has results.
type response struct {
	decision
	Evaluations []decision `json:"evaluations"`
	Results     []result   `json:"results"`
}

// answer reads the response, or why there is none. The body of an error is a
// text; a refusal of the enforcement point (401, 403) decides nothing either.
func (in *envelope) answer() (r response, failure string, err error) {
	var said string
	isText := json.Unmarshal(in.Response, &said) == nil && string(in.Response) != "null"
	said = said[:min(len(said), maxText)]
	switch {
	case in.Error != "":
		return r, in.Error, nil
	case !in.ok():
		return r, strings.TrimSuffix("HTTP "+strconv.Itoa(in.Status)+": "+said, ": "), nil
	case isText:
		return r, said, nil
	}
	if err := json.Unmarshal(in.Response, &r); err != nil {
		return r, "", within("response", collector.DecodeError(err, "log record", path))
	}
	return r, "", nil
}

// events makes one of each evaluation that was answered, or of each that was
// asked when all failed.
func (in *envelope) events(r response, failure string) ([]*event.Event, error) {
	asked := in.Request.all()
	answers := r.Evaluations
	if len(in.Request.Evaluations) == 0 && len(answers) == 0 {
		answers = []decision{r.decision}
	}
	if failure != "" {
		answers = make([]decision, len(asked))
	} else if len(answers) == 0 {
		return nil, event.Problems{{Field: "response.evaluations", Reason: fmt.Sprintf("is required: the request has %d", len(asked))}}
	}
	events := make([]*event.Event, 0, len(asked))
	for i := range min(len(asked), len(answers)) {
		e := in.event(i, len(in.Request.Evaluations) > 0)
		asked[i].question(e)
		if failure != "" {
			e.Decision.Effect, e.Outcome, e.Decision.Reason = event.EffectError, event.Error, failure
		} else {
			answers[i].decide(e)
		}
		events = append(events, e)
	}
	in.count(events[len(events)-1], len(asked), len(answers))
	return events, nil
}

// count warns, on the last event, of evaluations without an answer.
func (in *envelope) count(last *event.Event, asked, answered int) {
	semantic := in.Request.Options.Semantic
	switch semantic {
	case "deny_on_first_deny", "permit_on_first_permit", "execute_all":
	case "":
		semantic = "execute_all"
	default:
		semantic = "an unknown semantic"
	}
	if answered < asked {
		last.Warnings = append(last.Warnings, fmt.Sprintf("%d of %d evaluations were not answered, under %s: they are no decisions", asked-answered, asked, semantic))
	}
	if answered > asked {
		last.Warnings = append(last.Warnings, fmt.Sprintf("%d answers more than evaluations; left out", answered-asked))
	}
}

// event is what all events of an exchange have in common; of several, each has a number.
func (in *envelope) event(i int, several bool) *event.Event {
	at, _ := event.ParseTime(in.Time) // problems found none
	id := in.ID
	if id != "" && several {
		id += "/" + strconv.Itoa(i)
	}
	e := &event.Event{
		Kind: event.PermissionDecision, Type: "authzen.evaluation", Time: at,
		Source:        event.Source{EventID: id},
		ClientAddress: in.ClientAddress,
		Decision:      event.Decision{ID: id, Engine: engine, Policy: in.Policy, PolicyVersion: in.PolicyVersion},
		Correlation:   event.Correlation{RequestID: in.RequestID},
		Attributes:    map[string]string{},
	}
	if in.PDP != "" {
		e.Decision.Engine = in.PDP
	}
	if part := strings.Split(in.Traceparent, "-"); len(part) >= 4 && isHex(part[1], 32) && isHex(part[2], 16) {
		e.Correlation.TraceID, e.Correlation.ParentSpanID = part[1], part[2]
	}
	return e
}

// decide reads an answer. Decisions are closed by default: false beside an error
// is an error.
func (d decision) decide(e *event.Event) {
	e.Decision.Reason = reason(d.Context)
	e.Decision.Obligations = collector.CutList(e, "decision.obligations", obligations(d.Context), maxListBytes)
	failure, failed := d.Context["error"]
	failed = failed && failure != nil
	switch {
	case d.Decision == nil:
		e.Decision.Effect, e.Outcome = event.EffectError, event.Error
		e.Warnings = append(e.Warnings, "the answer has no decision")
	case *d.Decision:
		e.Decision.Effect, e.Outcome = event.Allow, event.Success
		if failed {
			e.Warnings = append(e.Warnings, "allowed beside an error")
		}
	case failed:
		e.Decision.Effect, e.Outcome = event.EffectError, event.Error
	default:
		e.Decision.Effect, e.Outcome = event.Deny, event.Denied
	}
	if failed {
		if m, ok := failure.(map[string]any); ok {
			set(e, "authzen.error_status", text(m["status"]))
			failure = m["message"]
		}
		if s := text(failure); s != "" {
			e.Decision.Reason = s
		}
	}
}

// reason reads what the specification's examples show: reason_admin and
// reason_user, a text or texts by code or language, or reason.
func reason(context map[string]any) string {
	for _, name := range []string{"reason_admin", "reason_user", "reason"} {
		switch v := context[name].(type) {
		case string:
			return v
		case map[string]any:
			var parts []string
			for _, code := range slices.Sorted(maps.Keys(v)) {
				if s := text(v[code]); s != "" {
					parts = append(parts, code+": "+s)
				}
			}
			if len(parts) > 0 {
				return strings.Join(parts, "; ")
			}
		}
	}
	return ""
}

// obligations are the types of the obligations profile, and a step-up asked for.
func obligations(context map[string]any) []string {
	var out []string
	given, _ := context["obligations"].([]any)
	for _, o := range given {
		m, _ := o.(map[string]any)
		if kind := text(m["type"]); kind != "" {
			out = append(out, kind)
		}
	}
	for _, name := range []string{"acr_values", "amr_values"} {
		if s := text(context[name]); s != "" {
			out = append(out, name+"="+s)
		}
	}
	return out
}
