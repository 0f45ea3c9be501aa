package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/custody-audit/custody/evidence/api"
)

// request is a page that is being made for somebody.
type request struct {
	*http.Request
	console *Console
	who     *whoami
	tenant  string // that the page is about; empty is all that the caller may see
}

// identify finds out who asks.
func (q *request) identify() error {
	who := &whoami{}
	if err := q.call(http.MethodGet, "/whoami", nil, nil, nil, who); err != nil {
		return err
	}
	q.who = who
	if q.tenant == "" && !who.All() && len(who.Tenants) > 0 {
		q.tenant = who.Tenants[0]
	}
	return nil
}

// get asks an operation about the page's tenant. params are names and values in turn,
// of which empty values are left out.
func (q *request) get(path string, answer any, params ...string) error {
	return q.call(http.MethodGet, path, q.params(params), nil, nil, answer)
}

// do asks an operation that changes something.
func (q *request) do(method, path string, header http.Header, body, answer any, params ...string) error {
	return q.call(method, path, q.params(params), header, body, answer)
}

func (q *request) params(params []string) url.Values {
	out := url.Values{}
	if q.tenant != "" {
		out.Set("tenant", q.tenant)
	}
	for i := 0; i+1 < len(params); i += 2 {
		if params[i+1] != "" {
			out.Add(params[i], params[i+1])
		}
	}
	return out
}

func (q *request) call(method, path string, params url.Values, header http.Header, body, answer any) error {
	s, err := q.raw(method, path, params, header, body)
	if err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(s.body.Bytes(), answer); err != nil {
		return fmt.Errorf("answer of %s: %w", path, err)
	}
	return nil
}

// raw asks, and makes an error of an answer that is one.
func (q *request) raw(method, path string, params url.Values, header http.Header, body any) (*sink, error) {
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(b)
	}
	target := api.Prefix + path
	if len(params) > 0 {
		target += "?" + params.Encode()
	}
	r, err := q.relayed(method, target, reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	s := q.console.serve(r)
	if s.overflow {
		return nil, errTooLarge
	}
	if s.status >= 300 { // a redirect is of a path that no operation has
		return nil, s.problem()
	}
	return s, nil
}

// fromBrowser are the headers that the API judges a request by: whose session it is,
// and whether a page of ours sent it. The API's answer to the latter is the console's
// protection against requests that other sites make browsers send.
var fromBrowser = []string{"Cookie", "Origin", "Sec-Fetch-Site", "User-Agent"}

// relayed is a request to the API that is as much the browser's as this one.
func (q *request) relayed(method, target string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(q.Context(), method, target, body)
	if err != nil {
		return nil, err
	}
	r.Host, r.RemoteAddr, r.RequestURI = q.Host, q.RemoteAddr, target
	for _, name := range fromBrowser {
		if values := q.Header.Values(name); len(values) > 0 {
			r.Header[name] = values
		}
	}
	return r, nil
}

// serve lets the API answer.
func (c *Console) serve(r *http.Request) *sink {
	s := &sink{header: http.Header{}}
	c.cfg.API.ServeHTTP(s, r)
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s
}

// maxAnswer bounds what a page is made of, in bytes.
const maxAnswer = 64 << 20

// errTooLarge is told as such.
var errTooLarge = errors.New("the answer is larger than a page shows")

// sink is an answer of the API. It implements [http.ResponseWriter].
type sink struct {
	header   http.Header
	status   int
	body     bytes.Buffer
	overflow bool
}

func (s *sink) Header() http.Header { return s.header }

func (s *sink) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
}

func (s *sink) Write(b []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	if s.body.Len()+len(b) > maxAnswer {
		s.overflow = true
		return 0, errTooLarge
	}
	return s.body.Write(b)
}

// problem is what the API says is wrong.
func (s *sink) problem() error {
	p := &api.Problem{}
	if !strings.HasPrefix(s.header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(s.body.Bytes(), p) != nil {
		return fmt.Errorf("the API answers %d", s.status)
	}
	return p
}
