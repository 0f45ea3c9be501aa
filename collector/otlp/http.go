package otlp

import (
	"context"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/custody-audit/custody/collector"
)

// Register adds POST /v1/logs and /v1/traces.
func (r *Receiver) Register(mux *http.ServeMux) {
	for _, s := range []*signal{logs, traces} {
		mux.HandleFunc("POST "+s.path, func(w http.ResponseWriter, req *http.Request) { r.serve(w, req, s) })
	}
}

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request, s *signal) {
	enc, err := encodingOf(req.Header.Get("Content-Type"))
	if err == nil {
		var answer proto.Message
		if answer, err = r.export(w, req, s, enc); err == nil {
			write(w, enc, http.StatusOK, answer)
			return
		}
	}
	st, httpStatus := refusal(err)
	r.tel.refused.Add(context.WithoutCancel(req.Context()), 1, r.tel.status(s, st.Code().String()))
	switch httpStatus {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(collector.RetryAfter))
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="custody"`)
	}
	write(w, enc, httpStatus, st.Proto())
}

// export authenticates before it reads.
func (r *Receiver) export(w http.ResponseWriter, req *http.Request, s *signal, enc *encoding) (proto.Message, error) {
	src, err := r.cfg.Sources.AuthenticateHTTP(w, req, Type)
	if err != nil {
		return nil, err
	}
	body, err := collector.ReadBody(w, req)
	if err != nil {
		return nil, err
	}
	request := s.request()
	if err := enc.decode(body, request); err != nil {
		return nil, r.unreadable(s, err)
	}
	return r.take(req.Context(), src, s, request)
}

func write(w http.ResponseWriter, enc *encoding, httpStatus int, m proto.Message) {
	b, err := enc.encode(m)
	if err != nil { // of our own message: cannot be
		http.Error(w, "encode answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", enc.media)
	w.WriteHeader(httpStatus)
	w.Write(b) // the client is gone when this fails
}
