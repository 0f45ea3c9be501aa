package api

import (
	"cmp"
	"context"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// operation is one thing that can be asked.
type operation struct {
	id, method, path string
	needs            Permission
	summary          string
	description      string
	tag              string
	changes          bool  // it is no read
	maxBody          int64 // of a request, in bytes; 0 is maxBody
}

// question is one that is being answered.
type question struct {
	op     operation
	caller *Caller
	tenant string // that it is about; empty is all
	reader *query.Reader
	conn   driver.Conn
	// asked are the parameters as the caller gave them, for the record.
	asked map[string]string
	// request and stage join the two records of an export.
	request, stage string
	// rows that the answer has.
	rows int
	// cut says what the answer leaves out.
	cut []string
}

// narrowed is the input of a question about evidence.
type narrowed interface{ about() string }

// Tenant is the parameter that narrows a question.
type Tenant struct {
	Tenant string `query:"tenant" maxLength:"63" doc:"Only this tenant. A caller of one tenant may leave it out; a caller of all then asks about all of them"`
}

func (t Tenant) about() string { return t.Tenant }

// body is an answer.
type body[T any] struct{ Body T }

// ask registers an operation that reads evidence: it is admitted, narrowed to a
// tenant, answered, recorded, and only then sent.
func ask[I, O any](s *Server, op operation, answer func(context.Context, *question, *I) (*O, error)) {
	huma.Register(s.api, s.describe(op), func(ctx context.Context, in *I) (*body[*O], error) {
		out, err := answered(ctx, s, op, in, answer)
		if err != nil {
			return nil, err
		}
		return &body[*O]{out}, nil
	})
}

func answered[I, O any](ctx context.Context, s *Server, op operation, in *I, answer func(context.Context, *question, *I) (*O, error)) (*O, error) {
	q := &question{op: op, caller: callerOf(ctx), asked: askedOf(ctx)}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Limits.Timeout)
	defer cancel()
	out, err := narrowTo(ctx, s, q, in, answer)
	status := http.StatusOK
	var told *Problem
	if err != nil {
		told = s.problem(ctx, err)
		status = told.Status
	}
	if err := s.record(ctx, q, status, told); err != nil {
		return nil, err
	}
	s.tel.asked(ctx, op.id, status, q.rows)
	if told != nil {
		return nil, told
	}
	return out, nil
}

// textAnswer is an answer that is no JSON.
type textAnswer struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// askText registers an operation that answers with text.
func askText[I any](s *Server, op operation, answer func(context.Context, *question, *I) (*textAnswer, error)) {
	described := s.describe(op)
	described.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	huma.Register(s.api, described, func(ctx context.Context, in *I) (*textAnswer, error) {
		return answered(ctx, s, op, in, answer)
	})
}

func narrowTo[I, O any](ctx context.Context, s *Server, q *question, in *I, answer func(context.Context, *question, *I) (*O, error)) (*O, error) {
	if err := s.narrow(q, any(in).(narrowed).about()); err != nil { // every input has a Tenant
		return nil, err
	}
	return answer(ctx, q, in)
}

// narrow finds the tenant of a question, and the connection that sees no other.
func (s *Server) narrow(q *question, asked string) (err error) {
	if q.tenant, err = q.caller.narrow(asked); err != nil {
		return err
	}
	if q.conn, err = s.pools.get(q.tenant); err != nil {
		return err
	}
	q.reader, err = query.New(query.Config{ClickHouse: q.conn, Tenant: q.tenant, Timeout: s.cfg.Limits.Timeout})
	return err
}

// describe is an operation as the document has it.
func (s *Server) describe(op operation) huma.Operation {
	roles := Grants(op.needs)
	return huma.Operation{
		OperationID: op.id, Method: op.method, Path: Prefix + op.path, Summary: op.summary, Description: op.description, Tags: []string{op.tag},
		MaxBodyBytes: cmp.Or(op.maxBody, maxBody), BodyReadTimeout: 10 * time.Second,
		Errors:      []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout},
		Security:    []map[string][]string{{"key": {}}, {"token": {}}, {"session": {}}},
		Extensions:  map[string]any{"x-custody-permission": op.needs, "x-custody-roles": roles},
		Middlewares: huma.Middlewares{s.admit(op)},
	}
}

// admit lets a request in when its caller may ask this, and not too much.
func (s *Server) admit(op operation) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		ctx := hc.Context()
		caller := callerOf(ctx)
		r, w := humago.Unwrap(hc)
		done, err := s.limiter.enter(caller.name())
		if err != nil {
			s.tel.refuse(ctx, "limit")
			s.refuse(w, r, err)
			return
		}
		defer done()
		asked := askedIn(r)
		if !may(caller.Roles, op.needs) {
			s.tel.refuse(ctx, "role")
			denied := newProblem(http.StatusForbidden, "your roles do not allow this; it wants the permission "+string(op.needs))
			q := &question{op: op, caller: caller, asked: asked}
			if err := s.record(ctx, q, denied.Status, denied); err != nil {
				s.refuse(w, r, err)
				return
			}
			s.refuse(w, r, denied)
			return
		}
		next(huma.WithValue(hc, askedKey{}, asked))
	}
}

type askedKey struct{}

func askedOf(ctx context.Context) map[string]string {
	asked, _ := ctx.Value(askedKey{}).(map[string]string)
	return asked
}

// askedIn is what a request asks, for the record: path and parameters, no body.
func askedIn(r *http.Request) map[string]string {
	asked := map[string]string{"path": r.URL.Path, clientAddress: r.RemoteAddr, userAgent: r.UserAgent()}
	for name, values := range r.URL.Query() {
		asked["query."+name] = strings.Join(values, " ")
	}
	return asked
}

// operations builds the API on a mux.
func (s *Server) operations(mux *http.ServeMux) {
	s.api = humago.New(mux, config())
	s.self()
	s.giveLinks()
	s.events()
	s.chains()
	s.verdicts()
	s.privileges()
	s.findings()
	s.quarantine()
	s.malformed()
	s.registry()
	s.queries()
	s.sql()
	s.exports()
	s.proofs()
	s.reviews()
	s.retention()
	s.integrity()
	s.identities()
}

// config is that of the library: only JSON, no pages, nothing from elsewhere.
func config() huma.Config {
	c := huma.DefaultConfig("Custody", "1")
	c.Info.Description = "Who really did it, on whose behalf, with which token, and who allowed it: the evidence of the identities of AI agents.\n\n" +
		"Each operation names the permission and the roles that it wants (x-custody-permission, x-custody-roles). Each read is recorded as an event " +
		"of type custody.read. What an answer leaves out for size stands in its field \"cut\". Errors are problem documents (RFC 9457).\n\n" +
		"Fields of a filter: " + strings.Join(query.Fields(), ", ") + "."
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{ours}
	registry := huma.NewMapRegistry("#/components/schemas/", schemaName)
	registry.RegisterTypeAlias(reflect.TypeFor[event.Time](), reflect.TypeFor[time.Time]())
	registry.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[Problem]())
	c.Components = &huma.Components{Schemas: registry, SecuritySchemes: map[string]*huma.SecurityScheme{
		"key":     {Type: "http", Scheme: "bearer", Description: "An API key: \"custody apikey add\""},
		"token":   {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "An access token of the configured OpenID issuer for this API"},
		"session": {Type: "apiKey", In: "cookie", Name: cookiePrefix + sessionCookie, Description: "A login at " + loginPrefix + "login. Requests other than GET must come from the same origin"},
	}}
	return c
}

var typeArguments = regexp.MustCompile(`[\[\],*]+`)

// schemaName names a type by its package too: several have an Event, a Server, a Tool.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" {
		return hint
	}
	name := t.Name()
	if from := path.Base(t.PkgPath()); from != "api" && from != "." {
		name = from + "." + name
	}
	return strings.Trim(typeArguments.ReplaceAllString(name, "_"), "_")
}

// plain registers an operation that reads no evidence.
func plain[I, O any](s *Server, op operation, answer func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, s.describe(op), func(ctx context.Context, in *I) (*body[*O], error) {
		out, err := answer(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return &body[*O]{out}, nil
	})
}
