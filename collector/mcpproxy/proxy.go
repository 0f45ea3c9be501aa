package mcpproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/propagation"

	"github.com/custody-audit/custody/collector/message"
	"github.com/custody-audit/custody/schemas/event"
)

// Proxy is an [http.Handler] in front of a server on Streamable HTTP.
type Proxy struct {
	*recorder
	reverse *httputil.ReverseProxy
	buffers buffers
}

// buffers are those that answers are copied through, 32 KiB each as those that
// [httputil.ReverseProxy] else makes for every call.
type buffers struct{ pool sync.Pool }

// Get and Put implement [httputil.BufferPool].
func (b *buffers) Get() []byte {
	if kept, ok := b.pool.Get().(*[32 << 10]byte); ok {
		return kept[:]
	}
	return new([32 << 10]byte)[:]
}

func (b *buffers) Put(buffer []byte) { b.pool.Put((*[32 << 10]byte)(buffer)) }

// New returns a proxy of the server at upstream, an http or https URL; a
// request's path is added to its path.
func New(upstream string, cfg Config) (*Proxy, error) {
	to, err := url.Parse(upstream)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Host == "" || to.User != nil {
		return nil, errors.New("mcpproxy: want the server as an http or https URL without user and password")
	}
	r, err := newRecorder(cfg)
	if err != nil {
		return nil, err
	}
	p := &Proxy{recorder: r}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // what is compressed cannot be read
	transport.MaxIdleConnsPerHost = 256
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(out *httputil.ProxyRequest) {
			out.SetURL(to)
			out.SetXForwarded()
			out.Out.Header.Del("Accept-Encoding")
		},
		Transport:      transport,
		BufferPool:     &p.buffers,
		ModifyResponse: p.response,
		ErrorHandler:   p.broken,
	}
	return p, nil
}

// Close records what is still open as unanswered.
func (p *Proxy) Close() { p.calls.end("") }

// flight is an HTTP request on its way.
type flight struct {
	caller   caller
	messages []message.Message
	calls    map[string]*call // by JSON-RPC id
	stream   bool             // the answer is an event stream
}

type flightKey struct{}

// ServeHTTP implements [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := &flight{calls: map[string]*call{}}
	size, err := f.read(w, r)
	if err != nil {
		http.Error(w, fmt.Sprintf("the message is larger than %d bytes or broken off", MaxRequest), http.StatusRequestEntityTooLarge)
		return
	}
	f.caller = p.callerOf(r, f.messages)
	if rebound(r) {
		if p.refusal(r.Context(), f, http.StatusForbidden) == nil {
			http.Error(w, "the Host header is not this host's: DNS rebinding", http.StatusForbidden)
			return
		}
		http.Error(w, "audit unavailable", http.StatusServiceUnavailable)
		return
	}
	if slices.ContainsFunc(f.messages, func(m message.Message) bool { return m.Ambiguous }) {
		http.Error(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a member of the message comes twice"}}`, http.StatusBadRequest)
		return
	}
	for i := range f.messages {
		m := &f.messages[i]
		if m.Method == "notifications/cancelled" {
			if c := p.calls.find(f.caller.session, message.Label(m.Params.RequestID)); c != nil {
				c.cancelled.Store(true)
			}
		}
		if c := p.begin(m, &f.caller, size); c != nil {
			f.calls[message.Label(m.ID)] = c
			p.calls.add(c)
		}
	}
	if kind := r.Header.Get("Content-Type"); size > 0 && len(f.messages) == 0 && (kind == "" || strings.HasPrefix(kind, "application/json")) {
		f.calls[""] = p.unreadable(&f.caller, size)
	}
	defer p.land(r.Context(), f)
	p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), flightKey{}, f)))
}

// rebound tells whether a request to a loopback address names another host: a web
// page that had its own name resolved to this machine (DNS rebinding). A server
// behind us cannot tell any more, since it sees its own name.
func rebound(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	ip := net.ParseIP(host)
	return !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback())
}

// read takes the messages of the body and puts it back.
func (f *flight) read(w http.ResponseWriter, r *http.Request) (size int, err error) {
	if r.Method != http.MethodPost {
		return 0, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if err != nil {
		return 0, err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	f.messages = message.Read(body)
	return len(body), nil
}

func (p *Proxy) callerOf(r *http.Request, messages []message.Message) caller {
	traceparent := ""
	if len(messages) > 0 {
		traceparent = messages[0].Params.Traceparent
	}
	session := r.Header.Get("Mcp-Session-Id")
	return caller{
		presented: p.present(r.Context(), message.Bearer(r.Header.Get("Authorization"))),
		span:      message.Caller(traceparent, propagation.HeaderCarrier(r.Header)),
		address:   r.RemoteAddr, userAgent: r.UserAgent(), session: session, requestID: r.Header.Get("X-Request-Id"),
		client: p.calls.client(session),
	}
}

// land concludes what was not answered. In a session the answer may still come,
// on a stream that the client opens again (MCP 2025-11-25, resumability).
func (p *Proxy) land(ctx context.Context, f *flight) {
	for _, c := range f.calls {
		if c.concluded.Load() || f.stream && p.calls.await(c) {
			continue
		}
		if ctx.Err() != nil {
			c.cancelled.Store(true) // the caller has gone
		}
		p.conclude(ctx, c, unanswered(c))
	}
}

// response looks at the answer before the caller does.
func (p *Proxy) response(res *http.Response) error {
	ctx := res.Request.Context()
	f, _ := ctx.Value(flightKey{}).(*flight)
	p.remember(f, res)
	switch kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return p.refusal(ctx, f, res.StatusCode)
	case kind == "text/event-stream" && res.StatusCode == http.StatusOK:
		f.stream = true
		res.Header.Del("Content-Length") // an event may be replaced
		res.ContentLength = -1
		res.Body = &stream{from: res.Body, look: func(data []byte) []byte { return p.look(ctx, f, data) }, unread: func() { p.tel.unread.Add(ctx, 1) }}
		return nil
	case len(f.calls) > 0:
		return p.whole(ctx, f, res, kind == "application/json")
	}
	return nil
}

// remember notes what a new session's client calls itself, and forgets a session
// that was ended.
func (p *Proxy) remember(f *flight, res *http.Response) {
	if id := res.Header.Get("Mcp-Session-Id"); id != "" {
		for _, m := range f.messages {
			if m.Method == "initialize" {
				p.calls.name(id, m.Params.ClientInfo)
			}
		}
	}
	if res.Request.Method == http.MethodDelete && res.StatusCode < 300 {
		p.calls.end(f.caller.session)
	}
}

// refusal records a request that the server refused by HTTP.
func (p *Proxy) refusal(ctx context.Context, f *flight, status int) error {
	for _, c := range f.calls {
		if err := p.conclude(ctx, c, refused(status)); err != nil {
			return err
		}
	}
	if len(f.calls) > 0 {
		return nil
	}
	m := message.Message{Method: "HTTP stream"} // a stream that is opened, or a session that is ended
	if len(f.messages) > 0 {
		m = f.messages[0]
	}
	return p.refuse(ctx, &m, &f.caller, status)
}

// whole reads an answer that is no stream.
func (p *Proxy) whole(ctx context.Context, f *flight, res *http.Response, isJSON bool) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxResponse+1))
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if len(body) > MaxResponse {
		p.tel.unread.Add(ctx, 1)
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), res.Body), res.Body}
		return p.all(ctx, f, byStatus(res.StatusCode, res.ContentLength, fmt.Sprintf("the answer is larger than %d bytes and was not read", MaxResponse)))
	}
	res.Body.Close()
	if isJSON {
		body = p.look(ctx, f, body)
	}
	err = p.all(ctx, f, byStatus(res.StatusCode, int64(len(body)), "the server's answer names no call"))
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	res.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return err
}

// all concludes the calls that the answer did not name.
func (p *Proxy) all(ctx context.Context, f *flight, how ending) error {
	for _, c := range f.calls {
		if err := p.conclude(ctx, c, how); err != nil {
			return err
		}
	}
	return nil
}

// byStatus is the ending that an HTTP status tells.
func byStatus(status int, size int64, warning string) ending {
	if status >= 400 {
		return failed(strconv.Itoa(status))
	}
	return ending{outcome: event.Success, status: statusOK, size: max(size, 0), warning: warning}
}

// look reads the messages of one JSON text and returns what the caller is to get:
// the text, or errors in place of the answers that could not be recorded.
func (p *Proxy) look(ctx context.Context, f *flight, text []byte) []byte {
	messages := message.Read(text)
	for i := range messages {
		m := &messages[i]
		if !m.Response() {
			continue
		}
		id := message.Label(m.ID)
		c := f.calls[id]
		if c == nil {
			c = p.calls.find(f.caller.session, id)
		}
		if c == nil {
			continue
		}
		if err := p.conclude(ctx, c, answered(m)); err != nil {
			return unavailable(m.ID)
		}
	}
	return text
}

// unavailable is the answer in place of one that could not be recorded.
func unavailable(id []byte) []byte {
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32603,"message":"audit unavailable"}}`, id)
}

// broken answers for a server that cannot be reached, and for an answer that
// must not be given.
func (p *Proxy) broken(w http.ResponseWriter, r *http.Request, err error) {
	f, _ := r.Context().Value(flightKey{}).(*flight)
	if errors.Is(err, errUnrecorded) {
		http.Error(w, "audit unavailable", http.StatusServiceUnavailable)
		return
	}
	how := failed("502")
	if r.Context().Err() != nil {
		how = failed("cancelled")
	} else {
		p.cfg.Logger.WarnContext(r.Context(), "the MCP server does not answer", "error", err)
	}
	if p.all(r.Context(), f, how) != nil {
		http.Error(w, "audit unavailable", http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "the MCP server does not answer", http.StatusBadGateway)
}
