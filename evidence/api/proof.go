package api

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/custody-audit/custody/evidence/proof"
)

type proofInput struct {
	Tenant
	Filter string   `query:"filter" maxLength:"2000" doc:"As in a search"`
	Range  []string `query:"range" maxItems:"100" doc:"Account for every record of TIME/TIME, or of PARTITION:FROM-TO in offsets; ends are exclusive"`
}

// mediaBundle is the Content-Type of a bundle.
const mediaBundle = "application/zip"

// proofs registers the operation that makes bundles.
func (s *Server) proofs() {
	askStream(s, operation{id: "export-proof", method: http.MethodGet, path: "/proof", needs: Export, tag: "events", summary: "Take events away with the proof that they are in the sealed log",
		description: "The answer is a bundle that \"custody proof verify\" and docs/verify check without this server. Records of other tenants are in it as hashes, " +
			"which tell nothing of them, and, with a range, by their number. It is recorded like an export."}, []string{mediaBundle}, s.prepareProof)
}

// prepareProof refuses a bundle, or returns what sends it.
func (s *Server) prepareProof(ctx context.Context, q *question, in *proofInput) (func(huma.Context), error) {
	if err := s.narrow(q, in.about()); err != nil {
		return nil, err
	}
	if s.cfg.Proof == nil {
		return nil, &refusal{http.StatusServiceUnavailable, "no_proof", "no bundles are made here: docs/api.md says what they want"}
	}
	filter, err := s.filter(q, "query.filter", in.Filter)
	if err != nil {
		return nil, err
	}
	ranges, err := proof.ParseRanges(in.Range)
	if err != nil {
		return nil, invalid("query.range", err.Error())
	}
	req := proof.Request{Query: in.Filter, Filter: filter, Tenant: q.tenant, Ranges: ranges, Limit: s.cfg.Limits.ExportRows}
	return func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		out := &stream{w: w, media: mediaBundle, control: http.NewResponseController(w)}
		err := s.sendProof(ctx, q, req, out)
		s.exported(ctx, q, r, out, err)
	}, nil
}

// sendProof makes a bundle with the keys that the log has now.
func (s *Server) sendProof(ctx context.Context, q *question, req proof.Request, out io.Writer) (err error) {
	cfg := *s.cfg.Proof
	cfg.Reader = q.reader
	if cfg.Ring, err = cfg.Folder.Keyring(cfg.Ring.Log(), cfg.Ring.Current()); err != nil {
		return err
	}
	got, err := proof.Export(ctx, cfg, req, out)
	if err != nil {
		return err
	}
	if q.rows = got.Events; got.Unsealed > 0 {
		q.cut = []string{fmt.Sprintf("%d events that are younger than the checkpoints", got.Unsealed)}
	}
	return nil
}
