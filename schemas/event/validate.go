package event

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Bounds of an event's parts. Sizes in bytes.
const (
	MaxString     = 2 << 10  // any string field not named below
	MaxChainRaw   = 8 << 10  // chain_raw
	MaxArguments  = 64 << 10 // tool.arguments
	MaxList       = 256      // entries of any array
	MaxChain      = 64       // links of chain
	MaxAttributes = 64       // entries of attributes and annotations
)

// Validate reports every problem of the event's contents as [Problems], or nil.
func (e *Event) Validate() error { return e.ValidateSize(len(e.Canonical())) }

// ValidateSize is Validate for who has the canonical bytes at hand.
func (e *Event) ValidateSize(canonical int) error {
	v := validator{}
	v.sizes("", eventPlan, reflect.ValueOf(e).Elem())
	v.contents(e)
	if len(v.problems) == 0 {
		if canonical > MaxBytes {
			v.problems.add("", "%v (%d)", ErrTooLarge, canonical)
		}
	}
	return v.problems.err()
}

type validator struct{ problems Problems }

// contents checks what is not a matter of size.
func (v *validator) contents(e *Event) {
	v.envelope(e)
	v.who(e)
	v.facts(e)
	v.kind(e)
}

// sizes checks what holds for every field of a shape: length, UTF-8, range.
func (v *validator) sizes(item string, p *plan, rv reflect.Value) {
	for i := range p.fields {
		f := &p.fields[i]
		at, fv := f.at(item), rv.Field(f.index)
		switch f.shape {
		case shapeString:
			v.text(at, fv.String(), maxText(at))
		case shapeInt:
			if n := fv.Int(); n < 0 || n > maxInt {
				v.problems.add(at, "%d is outside 0..2^53", n)
			}
		case shapeTime:
			if n := fv.Int(); n < 0 || n > maxTime {
				v.problems.add(at, "is outside 1970-9999")
			}
		case shapeStruct:
			v.sizes(f.below(item), f.nested, fv)
		case shapeStrings:
			v.count(at, fv.Len(), MaxList)
			for j := range min(fv.Len(), MaxList) {
				v.text(at+"["+strconv.Itoa(j)+"]", fv.Index(j).String(), MaxString)
			}
		case shapeStructs:
			v.count(at, fv.Len(), MaxChain)
			for j := range min(fv.Len(), MaxChain) {
				v.sizes(at+"["+strconv.Itoa(j)+"]", f.nested, fv.Index(j))
			}
		case shapeStringMap, shapeBoolMap:
			v.count(at, fv.Len(), MaxAttributes)
			for it := fv.MapRange(); it.Next(); {
				key := it.Key().String()
				v.text(at, key, 128)
				if key == "" {
					v.problems.add(at, "has an empty key")
				}
				if f.shape == shapeStringMap {
					v.text(clip(join(at, key)), it.Value().String(), MaxString)
				}
			}
		}
	}
}

var maxTime = int64(TimeOf(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)))

func maxText(path string) int {
	switch path {
	case "tool.arguments":
		return MaxArguments
	case "chain_raw":
		return MaxChainRaw
	}
	return MaxString
}

func (v *validator) text(path, s string, limit int) {
	if len(s) > limit {
		v.problems.add(path, "is %d bytes, at most %d", len(s), limit)
	}
	if !utf8.ValidString(s) {
		v.problems.add(path, "is not UTF-8")
	}
}

func (v *validator) count(path string, n, limit int) {
	if n > limit {
		v.problems.add(path, "has %d entries, at most %d", n, limit)
	}
}

func (v *validator) required(path string, present bool) {
	if !present {
		v.problems.add(path, "is required")
	}
}

func (v *validator) form(path, s string, f *form) {
	if s != "" && !f.ok(s) {
		v.problems.add(path, "want %s, got %q", f.want, clip(s))
	}
}

// What the fields of a few values may hold.
var (
	outcomes     = []Outcome{Success, Failure, Denied, Error}
	partyTypes   = []PartyType{Human, Agent, Workload, Service, MCP, Unknown}
	chainRules   = []ChainRule{SubjectChained, ActorChained, Flat}
	resultStatus = []string{"ok", "tool_error", "rpc_error", "input_required"}
	effects      = []Effect{Allow, Deny, EffectError, NotApplicable}
)

func oneOf[T ~string](v *validator, path string, got T, allowed []T) {
	if got != "" && !slices.Contains(allowed, got) {
		v.problems.add(path, "want one of %s, got %q", strings.Trim(fmt.Sprint(allowed), "[]"), clip(string(got)))
	}
}

func (v *validator) envelope(e *Event) {
	v.required("id", e.ID != "")
	v.required("schema_version", e.SchemaVersion != "")
	v.required("kind", e.Kind != "")
	v.required("time", e.Time != 0)
	v.required("tenant", e.Tenant != "")
	v.required("source.id", e.Source.ID != "")
	v.required("source.type", e.Source.Type != "")
	v.required("outcome", e.Outcome != "")
	if e.ID != "" {
		v.id(e)
	}
	v.form("schema_version", e.SchemaVersion, &versionForm)
	oneOf(v, "kind", e.Kind, Kinds)
	v.form("type", e.Type, &typeForm)
	v.form("tenant", e.Tenant, &tenantForm)
	v.form("source.type", e.Source.Type, &typeForm)
	v.form("source.id", e.Source.ID, &tenantForm)
	oneOf(v, "outcome", e.Outcome, outcomes)
	v.form("salt", e.Salt, &saltForm)
}

func (v *validator) id(e *Event) {
	if u, ok := ParseID(e.ID); ok && (e.Time == 0 || timeOf(u) == e.Time/1000*1000) {
		return
	}
	t, err := IDTime(e.ID)
	switch {
	case err != nil:
		v.problems.add("id", "%s", clip(err.Error()))
	case !isID(e.ID):
		v.problems.add("id", "want lower case")
	case e.Time != 0 && t != e.Time/1000*1000:
		v.problems.add("id", "its first 48 bits say %s, time says %s", t, e.Time)
	}
}

func (v *validator) who(e *Event) {
	oneOf(v, "subject.type", e.Subject.Type, partyTypes)
	oneOf(v, "actor.type", e.Actor.Type, partyTypes)
	for i := range e.Chain[:min(len(e.Chain), MaxChain)] {
		l := &e.Chain[i]
		if !slices.Contains(partyTypes, l.Type) { // no path is put together for the others
			oneOf(v, "chain["+strconv.Itoa(i)+"].type", l.Type, partyTypes)
		}
		if l.Iss == "" && l.Sub == "" {
			v.problems.add("chain["+strconv.Itoa(i)+"]", "needs iss or sub")
		}
	}
	oneOf(v, "chain_rule", e.ChainRule, chainRules)
	v.jsonText("chain_raw", e.ChainRaw)
}

// jsonText reads s in place: []byte(s) would copy up to 64 KiB of each event.
func (v *validator) jsonText(path, s string) {
	if s != "" && !json.Valid(unsafe.Slice(unsafe.StringData(s), len(s))) {
		v.problems.add(path, "is not JSON text")
	}
}

// ref does not repeat the value: it may be a token sent by mistake.
func (v *validator) ref(path, s string) {
	if s != "" && !isRef(s) {
		v.problems.add(path, "want %s", refForm.want)
	}
}

func (v *validator) facts(e *Event) {
	v.ref("token.ref", e.Token.Ref)
	v.ref("exchange.subject_token_ref", e.Exchange.SubjectTokenRef)
	v.ref("exchange.actor_token_ref", e.Exchange.ActorTokenRef)
	v.ref("exchange.issued_token_ref", e.Exchange.IssuedTokenRef)
	if s := e.Token.Verified; s != "" && s != TokenVerified && s != TokenUnverified && s != TokenAbsent &&
		(!strings.HasPrefix(string(s), string(TokenFailed)) || len(s) == len(TokenFailed)) {
		v.problems.add("token.verified", `want verified, unverified, absent or "failed:REASON", got %q`, clip(string(s)))
	}
	if t := &e.Token; t.IssuedAt != 0 && t.ExpiresAt != 0 && t.ExpiresAt < t.IssuedAt {
		v.problems.add("token.expires_at", "is before token.issued_at")
	}
	v.form("tool.arguments_hash", e.Tool.ArgumentsHash, &hashForm)
	v.jsonText("tool.arguments", e.Tool.Arguments)
	oneOf(v, "tool.result_status", e.Tool.ResultStatus, resultStatus)
	oneOf(v, "decision.effect", e.Decision.Effect, effects)
	v.form("correlation.trace_id", e.Correlation.TraceID, &traceIDForm)
	v.form("correlation.span_id", e.Correlation.SpanID, &spanIDForm)
	v.form("correlation.parent_span_id", e.Correlation.ParentSpanID, &spanIDForm)
}

// kind checks that the event states the fact its kind promises. A source that
// cannot know the reference which joins it to others may leave it out, with a
// warning that says so: the fact is worth keeping all the same.
func (v *validator) kind(e *Event) {
	switch e.Kind {
	case TokenExchange:
		x := &e.Exchange
		v.required("exchange.subject_token_ref", x.SubjectTokenRef != "" || e.Outcome != Success || len(e.Warnings) > 0)
		v.required("exchange.issued_token_ref", x.IssuedTokenRef != "" || e.Outcome != Success || len(e.Warnings) > 0)
	case ToolInvocation:
		v.required("tool.name", e.Tool.Name != "" || e.Tool.ServerMethod != "")
	case PermissionDecision:
		v.required("decision.effect", e.Decision.Effect != "")
	case Credential:
		v.required("token.ref", e.Token.Ref != "" || len(e.Warnings) > 0)
	case Grant:
		v.required("subject.sub", e.Subject.Sub != "" || e.Client.ID != "")
	case Session:
		v.required("correlation.session_id", e.Correlation.SessionID != "" || e.Correlation.TaskID != "" || len(e.Warnings) > 0)
	}
}
