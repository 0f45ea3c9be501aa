package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/evidence/query"
)

type integrityInput struct {
	Tenant
	Limit int `query:"limit" minimum:"1" maximum:"9999" default:"100" doc:"Most discrepancies, and most records of deletions"`
}

type integrityAnswer struct {
	Log             string                   `json:"log,omitempty" doc:"Name of the log; absent where this server does not know it"`
	Trees           []sealedTree             `json:"trees" nullable:"false" doc:"By partition, the newest incarnation of each first"`
	Reconciliations []*query.Reconciliation  `json:"reconciliations" nullable:"false" doc:"The newest cycle over all records, and the newest over what was new"`
	Discrepancies   []*query.SealDiscrepancy `json:"discrepancies" nullable:"false" doc:"Where stored records are not as they were sealed, the newest first"`
	Retained        []*query.RetentionRecord `json:"retained" nullable:"false" doc:"Signed records of what was deleted by policy, the newest first"`
	Cut             []string                 `json:"cut,omitempty" doc:"What is left out"`
}

// sealedTree is a tree with what this server can say of its signatures.
type sealedTree struct {
	*query.SealedTree
	Signature string   `json:"signature" enum:"valid,invalid,unchecked" doc:"Of the newest checkpoint, by the log's keys; unchecked where this server does not have them"`
	Witnesses []string `json:"witnesses,omitempty" doc:"Those that this server knows and that signed the newest cosigned checkpoint"`
}

const pathVerify = "/proof/verify"

// maxBundle bounds a bundle that is verified here, in bytes; one that is larger is
// for "custody proof verify".
const maxBundle = 32 << 20

type verifyInput struct {
	Tenant
	RawBody []byte `contentType:"application/zip"`
}

type verifyAnswer struct {
	Report     *proof.Report `json:"report"`
	VerifiedBy string        `json:"verified_by" doc:"Who says so: this server. Who does not trust it verifies the bundle without it"`
	SHA256     string        `json:"sha256" doc:"Of the bundle, hexadecimal"`
}

// integrity registers the operations about the seal of the log.
func (s *Server) integrity() {
	ask(s, operation{id: "get-integrity", method: http.MethodGet, path: "/integrity", needs: ReadIntegrity, tag: "integrity",
		summary:     "How far the log is sealed, when it was reconciled last, and what was not as it was sealed",
		description: "Of the trees, which all tenants share, it tells sizes and signatures; discrepancies and records of deletions are the tenant's."}, s.getIntegrity)
	ask(s, operation{id: "verify-bundle", method: http.MethodPost, path: pathVerify, needs: ReadIntegrity, tag: "integrity", maxBody: maxBundle,
		summary: "Have this server verify a proof bundle",
		description: "It is held against the keys of the log and of the witnesses that this server has, and is kept nowhere. The body is the bundle, at most 32 MiB. " +
			"\"custody proof verify\" and docs/verify do the same without this server."}, s.verifyBundle)
}

func (s *Server) getIntegrity(ctx context.Context, q *question, in *integrityInput) (*integrityAnswer, error) {
	if err := s.limited(in.Limit); err != nil {
		return nil, err
	}
	trees, err1 := q.reader.Trees(ctx)
	cycles, err2 := q.reader.Reconciliations(ctx)
	found, err3 := q.reader.Discrepancies(ctx, in.Limit+1)
	retained, err4 := q.reader.RetentionRecords(ctx, in.Limit+1)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	found = first(q, found, in.Limit, "discrepancies")
	if q.tenant != "" { // the cycles are of all tenants
		for _, c := range cycles {
			c.Discrepancies = foundIn(c, found)
		}
	}
	retained = first(q, retained, in.Limit, "records of deletions")
	q.rows = len(trees) + len(found) + len(retained)
	out := &integrityAnswer{Trees: []sealedTree{}, Reconciliations: list(cycles), Discrepancies: list(found), Retained: list(retained), Cut: q.cut}
	for _, t := range trees {
		tree := sealedTree{SealedTree: t, Signature: "unchecked"}
		if s.cfg.Proof != nil {
			out.Log = s.cfg.Proof.Ring.Log()
			tree.Signature = "valid"
			if c, _, err := s.cfg.Proof.Ring.OpenCheckpoint(t.Note); err != nil || c.Size != t.Size || hex.EncodeToString(c.Root[:]) != t.Root {
				tree.Signature = "invalid"
			}
		}
		if s.cfg.Policy != nil && t.Cosigned > 0 {
			tree.Witnesses, _ = s.cfg.Policy.Witnessed(t.CosignedNote) // one that does not verify is no witness
		}
		out.Trees = append(out.Trees, tree)
	}
	return out, nil
}

// foundIn counts what a cycle found.
func foundIn(c *query.Reconciliation, all []*query.SealDiscrepancy) (n uint64) {
	for _, d := range all {
		if !d.Found.Before(c.Began) && !d.Found.After(c.Ended) {
			n++
		}
	}
	return n
}

// bounded is what a body is read by, until the request's time is over.
type bounded struct {
	of  context.Context
	all io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.of.Err(); err != nil {
		return 0, err
	}
	return b.all.Read(p)
}

func (s *Server) verifyBundle(ctx context.Context, q *question, in *verifyInput) (*verifyAnswer, error) {
	if s.cfg.Policy == nil {
		return nil, &refusal{http.StatusServiceUnavailable, "no_proof", "no bundles are verified here: docs/api.md says what that wants"}
	}
	sum := sha256.Sum256(in.RawBody)
	out := &verifyAnswer{VerifiedBy: "this server", SHA256: hex.EncodeToString(sum[:])}
	q.asked["bundle.sha256"] = out.SHA256
	var err error
	out.Report, err = proof.Verify(&bounded{ctx, bytes.NewReader(in.RawBody)}, s.cfg.Policy, nil)
	if errors.Is(err, proof.ErrUnreadable) {
		return nil, invalid("body", err.Error())
	}
	return out, err
}
