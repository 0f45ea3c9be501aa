package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/danielgtaylor/huma/v2"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/evidence/review"
	"github.com/custody-audit/custody/processor/retain"
	"github.com/custody-audit/custody/processor/worklist"
)

// Problem is an error as RFC 9457 has it, and what is wrong with which field.
type Problem struct {
	Type   string  `json:"type,omitempty" doc:"Kind of problem; absent: the status says it"`
	Title  string  `json:"title" doc:"The status in words"`
	Status int     `json:"status" doc:"HTTP status"`
	Detail string  `json:"detail,omitempty" doc:"What is wrong here, and what to do"`
	Errors []Field `json:"errors,omitempty" doc:"What is wrong with fields of the request"`

	headers http.Header
}

// Field is a field of the request with what is wrong. What was sent is not
// repeated: it may hold a secret.
type Field struct {
	Location string `json:"location" doc:"query.NAME, path.NAME or body.NAME"`
	Message  string `json:"message"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements [huma.StatusError].
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements [huma.HeadersError].
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType implements [huma.ContentTypeFilter].
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

func newProblem(status int, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail}
}

// invalid says what is wrong with a field.
func invalid(location, message string) error {
	p := newProblem(http.StatusUnprocessableEntity, location+": "+message)
	p.Errors = []Field{{location, message}}
	return p
}

// later tells a caller to come back.
func later(status int, detail string, seconds int) *Problem {
	p := newProblem(status, detail)
	p.headers = http.Header{"Retry-After": {strconv.Itoa(seconds)}}
	return p
}

// ours turns the library's errors into Problems; it is a [huma.Transformer].
func ours(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := newProblem(m.Status, m.Detail)
	for _, e := range m.Errors {
		p.Errors = append(p.Errors, Field{e.Location, e.Message})
	}
	return p, nil
}

// Errors of ClickHouse that are about the question.
const (
	codeTooManyRows   = 158
	codeTimeout       = 159
	codeTooSlow       = 160
	codeMemory        = 241
	codeTooManyOrSize = 396
)

// problem turns the error of a question into what the caller is told. Errors
// that are not about the question are internal: they are logged under the
// request's id, and not shown.
func (s *Server) problem(ctx context.Context, err error) *Problem {
	var told *Problem
	var refused *refusal
	var fromClickHouse *clickhouse.Exception
	switch {
	case errors.As(err, &told):
		return told
	case errors.As(err, &refused):
		return newProblem(refused.status, refused.reason)
	case errors.Is(err, query.ErrNotFound), errors.Is(err, worklist.ErrNotFound), errors.Is(err, review.ErrNotFound), errors.Is(err, retain.ErrNotFound):
		return newProblem(http.StatusNotFound, err.Error())
	case errors.Is(err, worklist.ErrInvalid), errors.Is(err, query.ErrAmbiguous), errors.Is(err, proof.ErrLimit), errors.Is(err, review.ErrInvalid), errors.Is(err, retain.ErrInvalid), errors.Is(err, review.ErrSeveral):
		return newProblem(http.StatusUnprocessableEntity, err.Error())
	case errors.Is(err, review.ErrAltered): // the caller is to know
		return newProblem(http.StatusInternalServerError, err.Error())
	case errors.Is(err, worklist.ErrStatus), errors.Is(err, review.ErrClosed):
		return newProblem(http.StatusConflict, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return s.tooLong()
	case errors.As(err, &fromClickHouse):
		switch fromClickHouse.Code {
		case codeTimeout, codeTooSlow:
			return s.tooLong()
		case codeMemory:
			return newProblem(http.StatusUnprocessableEntity, "the question needs more memory than one may have: narrow its time or ask for less")
		case codeTooManyRows, codeTooManyOrSize:
			return newProblem(http.StatusUnprocessableEntity, "the answer is larger than one may be: narrow the question or ask for less")
		}
	}
	s.cfg.Logger.ErrorContext(ctx, "a question cannot be answered", "error", err)
	return newProblem(http.StatusInternalServerError, "internal error; the server's log has it")
}

func (s *Server) tooLong() *Problem {
	return newProblem(http.StatusGatewayTimeout, "no answer within "+s.cfg.Limits.Timeout.String()+": narrow the question, for example by last:24h")
}

// refuse answers a request that no operation sees.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var refused *refusal
	if errors.As(err, &refused) {
		s.tel.refuse(r.Context(), refused.code)
	}
	p := s.problem(r.Context(), err)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="custody"`)
	}
	for name, values := range p.headers {
		w.Header()[name] = values
	}
	p.write(w)
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	newProblem(status, detail).write(w)
}

func (p *Problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) // the client is gone when this fails
}
