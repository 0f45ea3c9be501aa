package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/seal"
)

// Signer signs manifests: the key of the log, or one for reports.
type Signer interface {
	// Sign returns the signed note of a text (c2sp.org/signed-note), with one
	// signature.
	Sign(text string) ([]byte, error)
}

// Config is where an export finds what it puts into bundles.
type Config struct {
	// ClickHouse is a connection that sees the records of all tenants. Required: the
	// hashes of neighbours are part of a proof.
	ClickHouse driver.Conn
	// Reader finds the events, as one who may see them. Required.
	Reader *query.Reader
	// Folder has the checkpoints, Ring verifies them. Required.
	Folder *seal.Folder
	Ring   *seal.Keyring
	// Key signs the manifest. Required.
	Key Signer
	// Dir is where events wait for the bundle to be written; "" is the system's
	// folder for temporary files.
	Dir string
}

// Request is what a bundle is to be about.
type Request struct {
	Query  string // as in a search, for the manifest
	Filter *query.Filter
	Tenant string // of the Reader; "" is all
	// Ranges account for every record, see ParseRange; without, the bundle has the
	// events that match, wherever they are.
	Ranges Ranges
	// At are checkpoints to use instead of the newest, From earlier ones that the
	// bundle's are proven to continue; of trees that are not in it they are ignored.
	At, From [][]byte
	// Limit is the most events; 0 is DefaultLimit.
	Limit int
}

// ErrLimit says that there are more events than a bundle may have.
var ErrLimit = errors.New("take a smaller range: more than the limit")

// DefaultLimit is the most events of a bundle.
const DefaultLimit = 1_000_000

// Result says what was exported.
type Result struct {
	Events, Trees int
	Unwitnessed   bool
	// Unsealed events match and are younger than the checkpoints: they are not in
	// the bundle.
	Unsealed uint64
}

// exporter makes one bundle.
type exporter struct {
	Config
	Request
	store  *seal.Store
	spool  *spool
	result Result
}

// Export writes a bundle. The same request about the same checkpoints gives the
// same bytes. What is stored and does not lead to the signed root is an error.
func Export(ctx context.Context, cfg Config, req Request, w io.Writer) (_ *Result, err error) {
	if cfg.ClickHouse == nil || cfg.Reader == nil || cfg.Folder == nil || cfg.Ring == nil || cfg.Key == nil {
		return nil, errors.New("proof: ClickHouse, Reader, Folder, Ring and Key are required")
	}
	if req.Limit == 0 {
		req.Limit = DefaultLimit
	}
	x := &exporter{Config: cfg, Request: req, store: seal.NewStore(cfg.ClickHouse)}
	if x.spool, err = newSpool(cfg.Dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.spool.close()) }()
	trees, err := x.trees(ctx)
	if err != nil {
		return nil, err
	}
	if err := x.collect(ctx, trees); err != nil {
		return nil, err
	}
	entries, err := x.entries(ctx, trees)
	if err != nil {
		return nil, err
	}
	return &x.result, writeArchive(w, entries)
}

// collect reads the events and what else is listed of each tree.
func (x *exporter) collect(ctx context.Context, trees []*treeExport) error {
	for _, t := range trees {
		if err := x.events(ctx, t); err != nil {
			return fmt.Errorf("export %s: %w", t.tree, err)
		}
		if t.part.Range != nil {
			if err := x.withheld(ctx, t); err != nil {
				return fmt.Errorf("export %s: %w", t.tree, err)
			}
		}
	}
	return nil
}

// entries are the files of the bundle.
func (x *exporter) entries(ctx context.Context, trees []*treeExport) ([]entry, error) {
	trees = slices.DeleteFunc(trees, func(t *treeExport) bool { return t.part.Range == nil && t.part.Events == 0 })
	m := Manifest{Format: Format, Log: x.Ring.Log(), Query: x.Query, Tenant: x.Tenant, After: x.Ranges.after(), Before: x.Ranges.before(),
		Trees: []TreePart{}, Proven: Proven, NotProven: NotProven}
	for _, t := range trees {
		m.Events += t.part.Events
		m.Unwitnessed = m.Unwitnessed || t.part.Unwitnessed
		m.Trees = append(m.Trees, t.part)
	}
	m.TlogProofs = m.Events <= MaxTlogProofs
	rotations, err := x.Folder.RotationNotes(x.Ring.Log())
	if err != nil {
		return nil, err
	}
	var entries []entry
	for i, note := range rotations {
		entries = append(entries, newEntry(rotationName(i), note))
	}
	for i, t := range trees {
		some, err := x.treeEntries(ctx, i, t, m.TlogProofs)
		if err != nil {
			return nil, fmt.Errorf("export %s: %w", t.tree, err)
		}
		entries = append(entries, some...)
	}
	for i := range entries {
		m.Files = append(m.Files, entries[i].file())
	}
	manifest, err := encodeManifest(&m)
	if err != nil {
		return nil, err
	}
	note, err := x.Key.Sign(manifestText(manifest))
	if err != nil {
		return nil, fmt.Errorf("sign manifest: %w", err)
	}
	x.result.Events, x.result.Trees, x.result.Unwitnessed = int(m.Events), len(trees), m.Unwitnessed
	return append([]entry{newEntry(fileManifest, manifest), newEntry(fileNote, note)}, entries...), nil
}

// treeEntries are the files of one tree. Its root is computed from them, as a
// verifier will.
func (x *exporter) treeEntries(ctx context.Context, i int, t *treeExport, proofs bool) ([]entry, error) {
	out := []entry{newEntry(treeName(i, fileCheckpoint), t.note)}
	if t.gap != nil {
		out = append(out, newEntry(treeName(i, fileGap), t.gap))
	}
	if t.from != nil {
		p, err := x.store.ProveConsistency(ctx, t.tree, t.part.From, t.part.Size)
		if err != nil {
			return nil, err
		}
		out = append(out, newEntry(treeName(i, fileFrom), t.from), newEntry(treeName(i, fileConsistency), formatHashes(p)))
	}
	nodes, err := nodesBeside(t.part.Size, t.leaves, x.store.Reader(ctx, t.tree))
	if err != nil {
		return nil, err
	}
	var kept map[span]Hash
	if proofs {
		kept = map[span]Hash{}
	}
	root, err := rootOf(t.part.Size, t.leaves, nodes, kept)
	if err == nil && root != t.head.Root {
		err = errors.New("what is stored does not lead to the root that was signed: \"custody reconcile --once\" names what was changed")
	}
	if err != nil {
		return nil, err
	}
	var list []byte
	for k := range t.leaves {
		list = appendLeaf(list, t.tree.Base, &t.leaves[k])
	}
	out = append(out, newEntry(treeName(i, fileLeaves), list), newEntry(treeName(i, fileNodes), formatHashes(nodes)))
	if proofs {
		for _, l := range t.leaves {
			if !l.Open {
				continue
			}
			p, err := inclusion(t.part.Size, l.Index, kept)
			if err != nil {
				return nil, err
			}
			out = append(out, newEntry(tlogName(i, t.tree.Base+l.Index), formatTlogProof(l.Index, p, t.note)))
		}
	}
	return append(out, t.spooled.entry(treeName(i, fileEvents))), nil
}

// origins sorts trees as a bundle has them.
func origins(trees []*treeExport) {
	slices.SortFunc(trees, func(a, b *treeExport) int { return strings.Compare(a.part.Origin, b.part.Origin) })
}
