package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/custody-audit/custody/evidence/query"
)

type malformedAnswer struct {
	Records []*query.Malformed `json:"records" nullable:"false"`
	Cut     []string           `json:"cut,omitempty" doc:"What is left out"`
}

// malformed registers the operation about what no event could be made of.
func (s *Server) malformed() {
	ask(s, operation{id: "list-malformed", method: http.MethodGet, path: "/malformed", needs: ReadQuarantine, tag: "quarantine",
		summary: "Records of the log that are no events, the newest first, with their first bytes",
		description: "They are of no tenant, since nobody vouches for what they say: for callers of all tenants, who name none. Secrets are taken out of the " +
			"bytes. \"custody deadletter\" shows all of them and puts back what can be read by now."},
		func(ctx context.Context, q *question, in *quarantineInput) (*malformedAnswer, error) {
			if err := s.limited(in.Limit); err != nil {
				return nil, err
			}
			found, err := q.reader.Malformed(ctx, in.Since, in.Limit+1)
			if errors.Is(err, query.ErrNobodys) {
				return nil, &refusal{http.StatusForbidden, "tenant", "records that are no events are of no tenant: they are for callers of all tenants, who name none"}
			}
			if err != nil {
				return nil, err
			}
			found = first(q, found, in.Limit, "records")
			for _, m := range found {
				m.Sample = s.redacted(m.Sample) // no collector did
			}
			return &malformedAnswer{list(found), q.cut}, nil
		})
}
