package console

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/retain"
)

// integrityPage is how the log is sealed and whether what is stored is still that.
type integrityPage struct {
	Log             string                   `json:"log"`
	Trees           []sealedTree             `json:"trees"`
	Reconciliations []*query.Reconciliation  `json:"reconciliations"`
	Discrepancies   []*query.SealDiscrepancy `json:"discrepancies"`
	Retained        []*query.RetentionRecord `json:"retained"`
	Cut             []string                 `json:"cut"`

	Retention []*retain.State `json:"-"` // where the caller may see it
	Verified  *verified       `json:"-"`
}

type sealedTree struct {
	*query.SealedTree
	Signature string   `json:"signature"`
	Witnesses []string `json:"witnesses"`
}

// verified is what the server says of a bundle.
type verified struct {
	Report     *proof.Report `json:"report"`
	VerifiedBy string        `json:"verified_by"`
	SHA256     string        `json:"sha256"`

	Name   string `json:"-"` // of the file
	Reason string `json:"-"` // why it is no bundle
}

func showIntegrity(q *request) (*view, error) {
	p := &integrityPage{}
	if err := q.get("/integrity", p); err != nil {
		return nil, err
	}
	if q.who.May(string(api.ReadRetention)) {
		var kept struct {
			Tenants []*retain.State `json:"tenants"`
		}
		if err := q.get("/retention", &kept); err != nil {
			return nil, err
		}
		p.Retention = kept.Tenants
	}
	return &view{name: "integrity", title: "Integrity", styles: []string{"graph.css"}, scripts: []string{"integrity.js"}, data: p}, nil
}

// maxBundle bounds what is read of a form with a bundle: as much as the API takes, and
// what a form adds.
const maxBundle = 32<<20 + 64<<10

// verifyBundle has the API verify a bundle and shows what it says.
func verifyBundle(q *request) (*view, error) {
	if !q.who.May(string(api.ReadIntegrity)) { // a file is read for nobody who may not have it judged
		return nil, cmp.Or(q.do(http.MethodPost, "/proof/verify", nil, nil, nil), errNoPage) // the API says why not, and records it
	}
	select {
	case q.console.uploads <- struct{}{}: // and for few at a time
		defer func() { <-q.console.uploads }()
	case <-q.Context().Done():
		return nil, q.Context().Err()
	}
	content, header, err := q.FormFile("bundle")
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return q.withVerdict(&verified{Reason: "It is larger than 32 MiB, which is what this server takes."})
		}
		return q.withVerdict(&verified{Reason: "No file came. Choose one, or drop one on the page."})
	}
	defer content.Close()
	defer q.MultipartForm.RemoveAll() // its files are in the folder for temporary ones
	b, err := io.ReadAll(content)
	if err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	r, err := q.relayed(http.MethodPost, api.Prefix+"/proof/verify?"+q.params(nil).Encode(), bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/zip")
	s := q.console.serve(r)
	out := &verified{Name: header.Filename}
	var p *api.Problem
	switch err := s.problem(); {
	case s.status < 400:
		if err := json.Unmarshal(s.body.Bytes(), out); err != nil {
			return nil, fmt.Errorf("answer about a bundle: %w", err)
		}
	case errors.As(err, &p) && (p.Status == http.StatusUnprocessableEntity || p.Status == http.StatusBadRequest || p.Status == http.StatusRequestEntityTooLarge):
		out.Reason = p.Detail
	default:
		return nil, err
	}
	return q.withVerdict(out)
}

// withVerdict is the page with what was said of a bundle on top.
func (q *request) withVerdict(v *verified) (*view, error) {
	out, err := showIntegrity(q)
	if err == nil {
		out.data.(*integrityPage).Verified = v
	}
	return out, err
}
