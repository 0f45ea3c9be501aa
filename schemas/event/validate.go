package event

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
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

var (
	tenantPattern  = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	typePattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9_./-]{0,95}$`)
	versionPattern = regexp.MustCompile(`^[1-9][0-9]{0,3}\.[0-9]{1,4}$`)
	refPattern     = regexp.MustCompile(`^(sha256|hmac:[A-Za-z0-9._-]{1,64}):[A-Za-z0-9_-]{43}$`)
	hashPattern    = regexp.MustCompile(`^sha256:[A-Za-z0-9_-]{43}$`)
	traceIDPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)
	spanIDPattern  = regexp.MustCompile(`^[0-9a-f]{16}$`)
	saltPattern    = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)
)

// Patterns returns the form that Validate wants of a field, by its path. It is
// what the generated JSON Schema says too.
func Patterns() map[string]string {
	refs := []string{"token.ref", "exchange.subject_token_ref", "exchange.actor_token_ref", "exchange.issued_token_ref"}
	out := map[string]string{
		"schema_version": versionPattern.String(), "type": typePattern.String(), "tenant": tenantPattern.String(),
		"source.id": tenantPattern.String(), "source.type": typePattern.String(), "salt": saltPattern.String(),
		"tool.arguments_hash": hashPattern.String(), "correlation.trace_id": traceIDPattern.String(),
		"correlation.span_id": spanIDPattern.String(), "correlation.parent_span_id": spanIDPattern.String(),
		"id": `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`,
	}
	for _, r := range refs {
		out[r] = refPattern.String()
	}
	return out
}

// ValidTenant says whether s can name a tenant: lower-case letters, digits,
// '-' and '_', at most 63, so that it is safe in keys, paths and filters.
func ValidTenant(s string) bool { return tenantPattern.MatchString(s) }

// ValidRef says whether s has the form of a token reference.
func ValidRef(s string) bool { return refPattern.MatchString(s) }

// Validate reports every problem of the event's contents as [Problems], or nil.
func (e *Event) Validate() error { return e.ValidateSize(len(e.Canonical())) }

// ValidateSize is Validate for who has the canonical bytes at hand.
func (e *Event) ValidateSize(canonical int) error {
	v := validator{}
	v.sizes("", eventPlan, reflect.ValueOf(e).Elem())
	v.envelope(e)
	v.who(e)
	v.facts(e)
	v.kind(e)
	if len(v.problems) == 0 {
		if canonical > MaxBytes {
			v.problems.add("", "%v (%d)", ErrTooLarge, canonical)
		}
	}
	return v.problems.err()
}

type validator struct{ problems Problems }

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

func (v *validator) pattern(path, s string, re *regexp.Regexp, want string) {
	if s != "" && !re.MatchString(s) {
		v.problems.add(path, "want %s, got %q", want, clip(s))
	}
}

func oneOf[T ~string](v *validator, path string, got T, allowed ...T) {
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
		t, err := IDTime(e.ID)
		switch {
		case err != nil:
			v.problems.add("id", "%s", clip(err.Error()))
		case e.ID != strings.ToLower(e.ID):
			v.problems.add("id", "want lower case")
		case e.Time != 0 && t != e.Time/1000*1000:
			v.problems.add("id", "its first 48 bits say %s, time says %s", t, e.Time)
		}
	}
	v.pattern("schema_version", e.SchemaVersion, versionPattern, `"MAJOR.MINOR"`)
	oneOf(v, "kind", e.Kind, Kinds...)
	v.pattern("type", e.Type, typePattern, "lower-case letters, digits and ._/-")
	v.pattern("tenant", e.Tenant, tenantPattern, "lower-case letters, digits, - and _, at most 63")
	v.pattern("source.type", e.Source.Type, typePattern, "lower-case letters, digits and ._/-")
	v.pattern("source.id", e.Source.ID, tenantPattern, "lower-case letters, digits, - and _, at most 63")
	oneOf(v, "outcome", e.Outcome, Success, Failure, Denied, Error)
	v.pattern("salt", e.Salt, saltPattern, "16 bytes as base64url")
}

func (v *validator) who(e *Event) {
	party := func(path string, t PartyType) {
		oneOf(v, path, t, Human, Agent, Workload, Service, MCP, Unknown)
	}
	party("subject.type", e.Subject.Type)
	party("actor.type", e.Actor.Type)
	for i, l := range e.Chain[:min(len(e.Chain), MaxChain)] {
		path := "chain[" + strconv.Itoa(i) + "]"
		party(path+".type", l.Type)
		if l.Iss == "" && l.Sub == "" {
			v.problems.add(path, "needs iss or sub")
		}
	}
	oneOf(v, "chain_rule", e.ChainRule, SubjectChained, ActorChained, Flat)
	if e.ChainRaw != "" && !json.Valid([]byte(e.ChainRaw)) {
		v.problems.add("chain_raw", "is not JSON text")
	}
}

func (v *validator) facts(e *Event) {
	const wantRef = `"sha256:" or "hmac:KEYID:" and 43 base64url characters; never the token itself`
	for _, r := range []struct{ path, ref string }{
		{"token.ref", e.Token.Ref},
		{"exchange.subject_token_ref", e.Exchange.SubjectTokenRef},
		{"exchange.actor_token_ref", e.Exchange.ActorTokenRef},
		{"exchange.issued_token_ref", e.Exchange.IssuedTokenRef},
	} {
		if r.ref != "" && !refPattern.MatchString(r.ref) {
			// The value is not repeated: it may be a token sent by mistake.
			v.problems.add(r.path, "want %s", wantRef)
		}
	}
	if s := e.Token.Verified; s != "" && s != TokenVerified && s != TokenUnverified && s != TokenAbsent &&
		(!strings.HasPrefix(string(s), string(TokenFailed)) || len(s) == len(TokenFailed)) {
		v.problems.add("token.verified", `want verified, unverified, absent or "failed:REASON", got %q`, clip(string(s)))
	}
	if t := e.Token; t.IssuedAt != 0 && t.ExpiresAt != 0 && t.ExpiresAt < t.IssuedAt {
		v.problems.add("token.expires_at", "is before token.issued_at")
	}
	v.pattern("tool.arguments_hash", e.Tool.ArgumentsHash, hashPattern, `"sha256:" and 43 base64url characters`)
	if a := e.Tool.Arguments; a != "" && !json.Valid([]byte(a)) {
		v.problems.add("tool.arguments", "is not JSON text")
	}
	oneOf(v, "tool.result_status", e.Tool.ResultStatus, "ok", "tool_error", "rpc_error")
	oneOf(v, "decision.effect", e.Decision.Effect, Allow, Deny, EffectError, NotApplicable)
	v.pattern("correlation.trace_id", e.Correlation.TraceID, traceIDPattern, "32 lower-case hex digits")
	v.pattern("correlation.span_id", e.Correlation.SpanID, spanIDPattern, "16 lower-case hex digits")
	v.pattern("correlation.parent_span_id", e.Correlation.ParentSpanID, spanIDPattern, "16 lower-case hex digits")
}

// kind checks that the event states the fact its kind promises. A source that
// cannot know the reference which joins it to others may leave it out, with a
// warning that says so: the fact is worth keeping all the same.
func (v *validator) kind(e *Event) {
	switch e.Kind {
	case TokenExchange:
		x := e.Exchange
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
