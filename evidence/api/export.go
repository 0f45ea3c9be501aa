package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/evidence/export"
	"github.com/custody-audit/custody/evidence/query"
)

type exportInput struct {
	Tenant
	Filter string `query:"filter" maxLength:"2000" doc:"As in a search"`
	Format string `query:"format" enum:"ndjson,csv,parquet,ocsf" default:"ndjson" doc:"ndjson has the exact bytes that were sealed; csv and parquet a column for each field; ocsf is for a SIEM"`
	Limit  int    `query:"limit" minimum:"1" doc:"Most events; absent: as many as one may export"`
}

// Trailers of an export.
const (
	trailerRows = "Custody-Rows"
	trailerCut  = "Custody-Cut"
)

// exports registers the operation that takes events away.
func (s *Server) exports() {
	op := operation{id: "export-events", method: http.MethodGet, path: "/export", needs: Export, tag: "events", summary: "Take events away, newest first",
		description: "The answer is a stream. One that cannot be finished breaks off without a proper end of the transfer, so that it is not taken for whole; " +
			"the trailer " + trailerRows + " has the number of events, and " + trailerCut + " what was left out. It is recorded when it begins and when it ends."}
	var media []string
	for _, format := range export.Formats() {
		if m, err := export.MediaType(format); err == nil {
			media = append(media, m)
		}
	}
	askStream(s, op, media, s.prepare)
}

// askStream registers an operation whose answer is not held in memory. prepare
// refuses a question, or returns what sends the answer.
func askStream[I any](s *Server, op operation, media []string, prepare func(context.Context, *question, *I) (func(huma.Context), error)) {
	described := s.describe(op)
	content := map[string]*huma.MediaType{}
	for _, m := range media {
		content[m] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	}
	described.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: content}}
	huma.Register(s.api, described, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		q := &question{op: op, caller: callerOf(ctx), asked: askedOf(ctx), request: uuid.NewString()}
		run, err := prepare(ctx, q, in)
		if err != nil {
			told := s.problem(ctx, err)
			if err := s.record(ctx, q, told.Status, told); err != nil {
				return nil, err
			}
			return nil, told
		}
		q.stage = "begun"
		if err := s.record(ctx, q, http.StatusOK, nil); err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: run}, nil
	})
}

// prepare refuses an export, or returns what sends it.
func (s *Server) prepare(ctx context.Context, q *question, in *exportInput) (func(huma.Context), error) {
	if err := s.narrow(q, in.about()); err != nil {
		return nil, err
	}
	if in.Limit > s.cfg.Limits.ExportRows {
		return nil, invalid("query.limit", fmt.Sprintf("want at most %d", s.cfg.Limits.ExportRows))
	}
	filter, err := s.filter(q, "query.filter", in.Filter)
	if err != nil {
		return nil, err
	}
	limit := in.Limit
	if limit == 0 {
		limit = s.cfg.Limits.ExportRows
	}
	media, err := export.MediaType(in.Format)
	if err != nil {
		return nil, err
	}
	return func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		out := &stream{w: w, media: media, control: http.NewResponseController(w)}
		err := send(ctx, q, filter, limit, in.Format, out)
		s.exported(ctx, q, r, out, err)
	}, nil
}

// send writes events, and one more than the limit to nobody, to know whether
// there are more.
func send(ctx context.Context, q *question, filter *query.Filter, limit int, format string, out io.Writer) error {
	buffered := bufio.NewWriterSize(out, 64<<10)
	w, err := export.New(format, buffered)
	if err != nil {
		return err
	}
	_, err = q.reader.Each(ctx, filter, limit+1, func(row *query.Row) error {
		if q.rows == limit {
			q.cut = []string{fmt.Sprintf("events after the first %d", limit)}
			return nil
		}
		q.rows++
		return w.Write(row)
	})
	if err != nil {
		return err // what is held back is not written: the export is not whole
	}
	return errors.Join(w.Close(), buffered.Flush())
}

// exported ends an export and records how. The events are gone by then, so its
// record cannot hold them back; that it began is recorded already.
func (s *Server) exported(ctx context.Context, q *question, r *http.Request, out *stream, err error) {
	q.stage, q.asked = "ended", maps.Clone(q.asked)
	status, told := http.StatusOK, (*Problem)(nil)
	if err != nil {
		q.stage = "broken off"
		told = s.problem(ctx, err)
		status = told.Status
	}
	_ = s.record(ctx, q, status, told) // it is logged and counted
	s.tel.asked(ctx, q.op.id, status, q.rows)
	switch {
	case err != nil && !out.begun:
		s.refuse(out.w, r, told)
	case err != nil:
		panic(http.ErrAbortHandler) // ends the connection and nothing else
	default:
		out.begin() // an empty one too
		out.w.Header().Set(trailerRows, strconv.Itoa(q.rows))
		if len(q.cut) > 0 {
			out.w.Header().Set(trailerCut, q.cut[0])
		}
	}
}

// stream is an answer that begins with its first byte. A client that takes none
// for a while is left.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	media   string
	begun   bool
}

// patience is how long a client may take over what is sent at once.
const patience = 30 * time.Second

func (s *stream) begin() {
	if s.begun {
		return
	}
	s.begun = true
	s.w.Header().Set("Content-Type", s.media)
	s.w.Header().Set("Trailer", trailerRows+", "+trailerCut)
	s.w.WriteHeader(http.StatusOK)
}

// Write implements [io.Writer].
func (s *stream) Write(b []byte) (int, error) {
	s.begin()
	if err := s.control.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	return s.w.Write(b)
}
