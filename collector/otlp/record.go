package otlp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/custody-audit/custody/schemas/event"
)

// record is what a span and a log record have in common.
type record struct {
	attrs    *attributes
	resource *resource
	name     string // "custody.KIND" or empty
	span     string // name of the span
	caller   bool   // told by the one who called, not by the one who was called
	id       string // the same whenever the record is exported
	time     event.Time
	lasted   int64 // milliseconds; -1 where the record has no end
	failed   bool  // span status
	message  string

	traceID, spanID, parentSpanID string
}

// resource is who exported the records.
type resource struct {
	values map[string]any
	hash   [sha256.Size]byte
}

func newResource(r *resourcepb.Resource) *resource {
	return &resource{plainMap(r.GetAttributes()), sum(r)}
}

func (r *resource) text(name string) string { return asText(r.values[name]) }

const kindPrefix = "custody."

// The attributes that make a record concern us.
const (
	keyEventName = "event.name"
	keyMethod    = "mcp.method.name"
	keyMethodOld = "mcp.method" // ToolHive's legacy names
	keyOperation = "gen_ai.operation.name"
)

// concernsSpan is asked for every span of a fleet, so it converts nothing.
func concernsSpan(s *tracepb.Span) bool {
	return strings.HasPrefix(s.GetName(), kindPrefix) || concerns(s.GetAttributes())
}

func concernsLog(l *logspb.LogRecord) bool {
	return strings.HasPrefix(l.GetEventName(), kindPrefix) || concerns(l.GetAttributes())
}

func concerns(kvs []*common.KeyValue) bool {
	method, operation := "", ""
	for _, kv := range kvs {
		value := kv.GetValue().GetStringValue()
		switch kv.GetKey() {
		case keyEventName:
			if strings.HasPrefix(value, kindPrefix) {
				return true
			}
		case keyMethod, keyMethodOld:
			method = value
		case keyOperation:
			operation = value
		}
	}
	if method != "" {
		return method == "tools/call"
	}
	return operation == "execute_tool"
}

func spanRecord(s *tracepb.Span, res *resource) (*record, error) {
	r := &record{
		attrs: newAttributes(s.GetAttributes()), resource: res, span: s.GetName(),
		time: nanos(s.GetStartTimeUnixNano()), lasted: -1,
		failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, message: s.GetStatus().GetMessage(),
	}
	if end := s.GetEndTimeUnixNano(); end >= s.GetStartTimeUnixNano() {
		r.lasted = int64((end - s.GetStartTimeUnixNano()) / 1e6)
	}
	if err := r.join(s.GetTraceId(), s.GetSpanId(), s.GetParentSpanId()); err != nil {
		return nil, err
	}
	if r.traceID == "" || r.spanID == "" {
		return nil, event.Problems{{Field: "correlation", Reason: "a span needs its trace id and its span id"}}
	}
	r.id = "span:" + r.traceID + "-" + r.spanID
	r.name = custodyName(s.GetName(), r.attrs)
	r.caller = r.name == "" && (s.GetKind() == tracepb.Span_SPAN_KIND_CLIENT || r.byAgent())
	return r, nil
}

func logRecord(l *logspb.LogRecord, res *resource) (*record, error) {
	r := &record{attrs: newAttributes(l.GetAttributes()), resource: res, time: nanos(l.GetTimeUnixNano()), lasted: -1}
	if r.time == 0 {
		r.time = nanos(l.GetObservedTimeUnixNano())
	}
	if body, ok := plain(l.GetBody()).(string); ok {
		r.message = body
	}
	if err := r.join(l.GetTraceId(), l.GetSpanId(), nil); err != nil {
		return nil, err
	}
	r.id = "log:" + logID(l, res)
	r.name = custodyName(l.GetEventName(), r.attrs)
	r.caller = r.name == "" && r.byAgent()
	return r, nil
}

// logID hashes all that the record says and who says it; a log record has no id
// of its own. When it was observed counts only where nothing else gives a time.
func logID(l *logspb.LogRecord, res *resource) string {
	said := &logspb.LogRecord{
		TimeUnixNano: l.GetTimeUnixNano(), SeverityNumber: l.GetSeverityNumber(), SeverityText: l.GetSeverityText(),
		Body: l.GetBody(), Attributes: l.GetAttributes(), TraceId: l.GetTraceId(), SpanId: l.GetSpanId(), EventName: l.GetEventName(),
	}
	if said.TimeUnixNano == 0 {
		said.ObservedTimeUnixNano = l.GetObservedTimeUnixNano()
	}
	own := sum(said)
	both := sha256.Sum256(append(res.hash[:], own[:]...))
	return base64.RawURLEncoding.EncodeToString(both[:])
}

func sum(m proto.Message) [sha256.Size]byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil { // text that is not UTF-8: a decoded message has none
		b = []byte(err.Error())
	}
	return sha256.Sum256(b)
}

// nanos cuts to microseconds. Times that no clock shows stay wrong, for validation to find.
func nanos(n uint64) event.Time { return event.Time(n / 1000) }

func (r *record) join(traceID, spanID, parentSpanID []byte) error {
	var problems event.Problems
	read := func(field string, b []byte, size int) string {
		if len(b) != 0 && len(b) != size {
			problems = append(problems, event.Problem{Field: "correlation." + field, Reason: fmt.Sprintf("is %d bytes, want %d", len(b), size)})
		}
		if id := hex.EncodeToString(b); strings.Trim(id, "0") != "" { // all zero is invalid, W3C Trace Context
			return id
		}
		return ""
	}
	r.traceID = read("trace_id", traceID, 16)
	r.spanID = read("span_id", spanID, 8)
	r.parentSpanID = read("parent_span_id", parentSpanID, 8)
	if len(problems) > 0 {
		return problems
	}
	return nil
}

func custodyName(name string, attrs *attributes) string {
	if strings.HasPrefix(name, kindPrefix) {
		return name
	}
	if name, _ := attrs.values[keyEventName].(string); strings.HasPrefix(name, kindPrefix) {
		attrs.taken[keyEventName] = true
		return name
	}
	return ""
}

// byAgent says that an agent tells of a tool's execution, whatever ran it.
func (r *record) byAgent() bool { return !r.attrs.has(keyMethod, keyMethodOld) }

// event makes the event: what the record says in our own names first, then what
// the conventions say, where that left room.
func (r *record) event() (*event.Event, error) {
	e, err := r.named()
	if err != nil {
		return nil, err
	}
	r.envelope(e)
	r.parties(e)
	r.token(e)
	r.place(e)
	r.tool(e)
	r.outcome(e)
	r.keep(e)
	return e, nil
}

func (r *record) envelope(e *event.Event) {
	if e.Source.EventID == "" && e.ID == "" {
		e.Source.EventID = r.id
	}
	if e.Time == 0 {
		e.Time = r.time
	}
	c := &e.Correlation
	if c.TraceID == "" {
		c.TraceID = r.traceID
		r.attrs.fill(&c.TraceID, "trace.id")
	}
	if c.SpanID == "" {
		c.SpanID = r.spanID
		r.attrs.fill(&c.SpanID, "span.id")
	}
	if c.ParentSpanID == "" {
		c.ParentSpanID = r.parentSpanID
	}
	r.attrs.fill(&c.JSONRPCID, "jsonrpc.request.id", "mcp.request.id")
	r.attrs.fill(&c.SessionID, "mcp.session.id")
	r.attrs.fill(&c.TransactionID, "jwt.txn")
}
