package mcpaudit

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/propagation"

	"github.com/custody-audit/custody/collector/message"
	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

// Headers by which the HTTP side tells the middleware what the SDK keeps to
// itself. They are set here on every request, so a caller cannot choose them.
const (
	headerID      = "Custody-Jsonrpc-Id"
	headerAddress = "Custody-Client-Address"
)

// MaxRequest bounds one JSON-RPC message that comes by HTTP, in bytes.
const MaxRequest = 4 << 20

// Handler goes around the endpoint, outside of auth.RequireBearerToken. A request
// that is answered by 401 or 403 becomes an event of type "mcp.refused".
func (a *Audit) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, err := readMessage(w, r)
		if err != nil {
			http.Error(w, "the message is larger than "+strconv.Itoa(MaxRequest)+" bytes or broken off", http.StatusRequestEntityTooLarge)
			return
		}
		r.Header.Set(headerID, message.Label(m.ID))
		r.Header.Set(headerAddress, r.RemoteAddr)
		if m.Method == "" {
			m.Method = "HTTP " + r.Method // a stream that is opened or a session that is ended
		}
		q := &request{audit: a, message: m}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, q))
		q.http = r
		next.ServeHTTP(&watched{ResponseWriter: w, request: q}, r)
	})
}

// readMessage reads the body and puts it back.
func readMessage(w http.ResponseWriter, r *http.Request) (m message.Message, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if err != nil {
		return m, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if all := message.Read(body); len(all) > 0 {
		m = all[0]
	}
	return m, nil // the SDK refuses what is none
}

// request is an HTTP request on its way to the SDK.
type request struct {
	audit     *Audit
	http      *http.Request
	message   message.Message
	presented *token.Presented // what the verifier found; nil before and without it
}

type requestKey struct{}

// watched notices when the request is refused.
type watched struct {
	http.ResponseWriter
	request *request
	wrote   bool
}

// Unwrap lets http.ResponseController flush event streams.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader reports a refusal before the caller hears of it.
func (w *watched) WriteHeader(status int) {
	if (status == http.StatusUnauthorized || status == http.StatusForbidden) && !w.wrote {
		w.request.refused(status)
	}
	w.wrote = w.wrote || status >= 200
	w.ResponseWriter.WriteHeader(status)
}

// refused records a request that no tool will hear of. One without any
// credential is how OAuth begins (RFC 9728 section 5.1), and no event.
func (q *request) refused(status int) {
	raw := message.Bearer(q.http.Header.Get("Authorization"))
	if raw == "" {
		return
	}
	p := q.presented
	if p == nil {
		p = &token.Presented{Token: event.Token{Ref: event.TokenRef(raw), TokenType: "Bearer", Verified: event.TokenUnverified}}
	}
	e := &event.Event{
		Kind: event.ToolInvocation, Type: TypeRefused, Time: event.TimeOf(q.audit.cfg.Now()), Outcome: event.Denied, Server: q.audit.cfg.Server,
		ClientAddress: q.http.RemoteAddr, UserAgent: q.http.UserAgent(),
		Tool: event.Tool{Name: q.message.Params.Name, ServerMethod: q.message.Method, ResultStatus: statusRPCError, ErrorCode: strconv.Itoa(status)},
	}
	p.Describe(e)
	e.Correlation.JSONRPCID = message.Label(q.message.ID)
	if caller := message.Caller(q.message.Params.Traceparent, propagation.HeaderCarrier(q.http.Header)); caller.IsValid() {
		e.Correlation.TraceID, e.Correlation.ParentSpanID = caller.TraceID().String(), caller.SpanID().String()
	}
	if err := q.audit.cfg.Emitter.Emit(q.http.Context(), e); err != nil {
		q.audit.cfg.Logger.ErrorContext(q.http.Context(), "a refused request could not be recorded", "status", status, "error", err)
	}
}

// TypeRefused is the event type of a request that was refused before a tool
// heard of it.
const TypeRefused = "mcp.refused"
