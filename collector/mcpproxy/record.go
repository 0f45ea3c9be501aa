package mcpproxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/collector/message"
	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

// recorder makes events of messages.
type recorder struct {
	cfg     Config
	tel     *telemetry
	calls   *calls
	missing atomic.Int64 // events that could not be recorded since the last that could
}

func newRecorder(cfg Config) (*recorder, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("mcpproxy: %w", err)
	}
	r := &recorder{cfg: cfg, tel: tel}
	r.calls = newCalls(cfg.AnswerTimeout, func(c *call) { r.conclude(context.Background(), c, unanswered(c)) })
	return r, nil
}

// recorded are the methods of which events are made.
var recorded = []string{"tools/call", "tools/list", "resources/read", "prompts/get"}

// caller is what the transport knows of who sends.
type caller struct {
	presented *token.Presented
	span      trace.SpanContext
	address   string
	userAgent string
	session   string
	requestID string
	client    message.Info
}

// begin returns the call of a request; nil when its method is not recorded.
func (r *recorder) begin(m *message.Message, who *caller, size int) *call {
	if !slices.Contains(recorded, m.Method) || !m.Request() {
		return nil
	}
	now := r.cfg.Now()
	e := &event.Event{
		Kind: event.ToolInvocation, Type: message.TypeOf(m.Method), Time: event.TimeOf(now), Server: r.cfg.Server,
		Tool: event.Tool{Name: m.Params.Name, ServerMethod: m.Method, RequestBytes: int64(size)},
	}
	message.NoteArguments(&e.Tool, m.Params.Arguments)
	if m.Params.URI != "" {
		e.Attributes = map[string]string{"mcp.resource.uri": m.Params.URI}
	}
	r.describe(e, m, who)
	span := message.NewSpan(who.span)
	e.Correlation.TraceID, e.Correlation.SpanID = span.TraceID().String(), span.SpanID().String()
	if who.span.IsValid() {
		e.Correlation.ParentSpanID = who.span.SpanID().String()
	}
	return &call{event: e, began: now, key: callKey{who.session, message.Label(m.ID)}}
}

// unreadable is the call that a body may be which is no message to us: a server
// that reads it otherwise would act on it unseen.
func (r *recorder) unreadable(who *caller, size int) *call {
	now := r.cfg.Now()
	m := message.Message{Method: "unreadable"}
	e := &event.Event{
		Kind: event.ToolInvocation, Type: TypeUnreadable, Time: event.TimeOf(now), Server: r.cfg.Server,
		Tool:     event.Tool{ServerMethod: m.Method, RequestBytes: int64(size)},
		Warnings: []string{"the request is no JSON-RPC message: what the server made of it is not known"},
	}
	r.describe(e, &m, who)
	return &call{event: e, began: now}
}

// describe says who sent the message.
func (r *recorder) describe(e *event.Event, m *message.Message, who *caller) {
	who.presented.Describe(e)
	e.ClientAddress, e.UserAgent = who.address, who.userAgent
	client := who.client
	if m.Params.ClientInfo.Name != "" {
		client = m.Params.ClientInfo
	}
	e.Client.Name, e.Client.Version = client.Name, client.Version
	e.Correlation.JSONRPCID, e.Correlation.SessionID, e.Correlation.RequestID = message.Label(m.ID), who.session, who.requestID
}

// ending is how a call ended.
type ending struct {
	outcome event.Outcome
	status  string // Tool.ResultStatus
	code    string // Tool.ErrorCode
	size    int64
	tools   []string // that a tools/list offered
	warning string
}

// Values of Tool.ResultStatus.
const (
	statusOK            = "ok"
	statusToolError     = "tool_error"
	statusRPCError      = "rpc_error"
	statusInputRequired = "input_required"
)

// answered reads the ending from the answer. Whether an error was a denial is for
// the server to say; -32001 is what mcpaudit says, 403 what HTTP does.
func answered(m *message.Message) ending {
	if m.Error != nil {
		e := ending{outcome: event.Failure, status: statusRPCError, code: strconv.FormatInt(m.Error.Code, 10)}
		if m.Error.Code == codeDenied {
			e.outcome = event.Denied
		}
		return e
	}
	result := m.Outcome()
	e := ending{outcome: event.Success, status: statusOK, size: int64(len(m.Result)), tools: result.Tools}
	switch {
	case result.IsError:
		e.outcome, e.status = event.Failure, statusToolError
	case result.InputRequired:
		e.status = statusInputRequired
	}
	return e
}

const codeDenied = -32001

// refused is the ending of a request that HTTP refused, failed that of one which
// the server, or the way to it, could not serve.
func refused(status int) ending {
	return ending{outcome: event.Denied, status: statusRPCError, code: strconv.Itoa(status)}
}

func failed(code string) ending {
	return ending{outcome: event.Error, status: statusRPCError, code: code}
}

// unanswered is the ending of a call whose answer did not come.
func unanswered(c *call) ending {
	if c.cancelled.Load() {
		return failed("cancelled")
	}
	return failed("no_answer")
}

// conclude records the call, once: whoever comes later hears nothing of it.
func (r *recorder) conclude(ctx context.Context, c *call, how ending) error {
	if !c.concluded.CompareAndSwap(false, true) {
		return nil
	}
	r.calls.remove(c)
	e := c.event
	e.Outcome, e.Tool.ResultStatus, e.Tool.ErrorCode, e.Tool.ResponseBytes = how.outcome, how.status, how.code, how.size
	e.Tool.DurationMS = r.cfg.Now().Sub(c.began).Milliseconds()
	if how.warning != "" {
		e.Warnings = append(e.Warnings, how.warning)
	}
	if len(how.tools) > 0 {
		if e.Attributes == nil {
			e.Attributes = map[string]string{}
		}
		e.Attributes["mcp.tools.count"], e.Attributes["mcp.tools.names"] = strconv.Itoa(len(how.tools)), strings.Join(how.tools, " ")
	}
	return r.emit(ctx, e)
}

// errUnrecorded says that an answer must not be given.
var errUnrecorded = errors.New("audit unavailable")

// emit hands the event over. Its error says that the answer must not be given.
func (r *recorder) emit(ctx context.Context, e *event.Event) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.EmitTimeout) // a caller who is gone is recorded too
	defer cancel()
	missing := r.missing.Swap(0)
	if missing > 0 {
		e.Warnings = append(e.Warnings, fmt.Sprintf("%d events before this one could not be recorded; the proxy fails open", missing))
	}
	method, outcome := e.Tool.ServerMethod, e.Outcome
	err := r.cfg.Emitter.Emit(ctx, e)
	if err == nil {
		r.tel.call(ctx, method, outcome)
		return nil
	}
	r.tel.unrecorded.Add(ctx, 1)
	r.cfg.Logger.ErrorContext(ctx, "a call could not be recorded", "method", method, "answered", r.cfg.FailOpen, "error", err)
	r.missing.Add(missing)
	if r.cfg.FailOpen {
		r.missing.Add(1)
		return nil
	}
	return errUnrecorded
}

// refuse records a request that was refused before any call was made of it. One
// without a credential is how OAuth begins (RFC 9728 section 5.1), and no event.
func (r *recorder) refuse(ctx context.Context, m *message.Message, who *caller, status int) error {
	if who.presented.Token.Verified == event.TokenAbsent {
		return nil
	}
	e := &event.Event{
		Kind: event.ToolInvocation, Type: TypeRefused, Time: event.TimeOf(r.cfg.Now()), Outcome: event.Denied, Server: r.cfg.Server,
		Tool: event.Tool{Name: m.Params.Name, ServerMethod: m.Method, ResultStatus: statusRPCError, ErrorCode: strconv.Itoa(status)},
	}
	r.describe(e, m, who)
	if who.span.IsValid() {
		e.Correlation.TraceID, e.Correlation.ParentSpanID = who.span.TraceID().String(), who.span.SpanID().String()
	}
	return r.emit(ctx, e)
}

// Types of events beside those of the recorded methods.
const (
	TypeRefused    = "mcp.refused"    // a request that the server refused
	TypeUnreadable = "mcp.unreadable" // one that is no JSON-RPC message, and was passed on
)

// present looks at a token. What cannot be checked is recorded as unverified.
func (r *recorder) present(ctx context.Context, raw string) *token.Presented {
	if raw == "" {
		return &token.Presented{Token: event.Token{Verified: event.TokenAbsent}}
	}
	bare := &token.Presented{Token: event.Token{Ref: event.TokenRef(raw), TokenType: "Bearer", Verified: event.TokenUnverified}}
	if r.cfg.Check == nil {
		return bare
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	p, err := r.cfg.Check(ctx, raw)
	if err != nil {
		r.cfg.Logger.WarnContext(ctx, "a token could not be checked", "error", err)
		return bare
	}
	return p
}
