// Package witness is both sides of cosigning: a small witness to run under other
// hands, and the client by which the sealer asks witnesses, this one or any other
// of c2sp.org/tlog-witness.
//
// A witness signs a checkpoint after it has seen, by a consistency proof, that
// the tree only grew since what it signed before. So a log that shows two
// histories, or takes one back, needs the witness's help. It guarantees that what
// it signed is durable before anybody hears of it, and that of two requests at
// the same time one is refused. It knows the logs that its file names and asks
// nobody else; whoever may restore its state folder from a backup can make it
// forget what it saw.
package witness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/seal"
)

// Config configures a Witness.
type Config struct {
	// Key cosigns; it is used for nothing else. Required.
	Key *seal.Key
	// Dir holds the state, for one process. Required.
	Dir string
	// Logs that are witnessed.
	Logs *Logs

	Logger *slog.Logger
	Meter  metric.Meter
}

// Witness is an http.Handler of add-checkpoint and of the newest checkpoint of
// each origin.
type Witness struct {
	cfg   Config
	state *state
	mux   *http.ServeMux
	tel   *telemetry

	mu sync.Mutex // held from the look at the state to its change
}

// New opens the state.
func New(cfg Config) (*Witness, error) {
	if cfg.Key == nil || cfg.Dir == "" || cfg.Logs == nil || cfg.Logger == nil {
		return nil, errors.New("witness: Key, Dir, Logs and Logger are required")
	}
	own, err := seal.ParseCosigner(cfg.Key.CosignerKey())
	if err != nil {
		return nil, err
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	state, err := openState(cfg.Dir, own)
	if err != nil {
		return nil, err
	}
	w := &Witness{cfg: cfg, state: state, mux: http.NewServeMux(), tel: tel}
	w.mux.HandleFunc("POST /add-checkpoint", w.serveAdd)
	w.mux.HandleFunc("GET /{hash}/checkpoint", w.serveCheckpoint)
	return w, nil
}

// Close gives the state free.
func (w *Witness) Close() error { return w.state.close() }

// ServeHTTP implements http.Handler.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) { w.mux.ServeHTTP(rw, r) }

// refusal is an answer that is no cosignature.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

func (w *Witness) serveAdd(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, seal.MaxNote))
	if err != nil {
		http.Error(rw, "the request is too large or broke off", http.StatusBadRequest)
		return
	}
	lines, err := w.add(body, time.Now())
	var no *refusal
	switch {
	case errors.As(err, &no):
		w.tel.answered(r.Context(), no.status)
		if no.status == http.StatusUnprocessableEntity {
			w.cfg.Logger.Error("a log is not consistent with what was signed of it", "reason", no.text, "request", string(body))
		}
		if no.status == http.StatusConflict {
			rw.Header().Set("Content-Type", "text/x.tlog.size")
			rw.WriteHeader(no.status)
			fmt.Fprintln(rw, no.text)
			return
		}
		http.Error(rw, no.text, no.status)
	case err != nil:
		w.tel.answered(r.Context(), http.StatusInternalServerError)
		w.cfg.Logger.Error("a checkpoint is not cosigned", "error", err)
		http.Error(rw, "the witness has a problem", http.StatusInternalServerError)
	default:
		w.tel.answered(r.Context(), http.StatusOK)
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Write(lines)
	}
}

// add checks a request and returns the cosignature's line.
func (w *Witness) add(body []byte, now time.Time) ([]byte, error) {
	old, proof, signed, err := parseRequest(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	n, c, err := w.cfg.Logs.open(signed)
	if err != nil {
		return nil, err
	}
	if old > c.Size {
		return nil, refuse(http.StatusBadRequest, "the old size is above the checkpoint's")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	hash := originHash(c.Origin)
	known, _, err := w.state.load(hash)
	if err != nil {
		return nil, err
	}
	if known.Size != old {
		return nil, refuse(http.StatusConflict, "%d", known.Size)
	}
	if err := consistent(known, c, proof); err != nil {
		return nil, err
	}
	whole, err := w.cfg.Key.Cosign(n, now)
	if err != nil {
		return nil, err
	}
	if err := w.state.save(hash, whole); err != nil {
		return nil, err
	}
	return line(whole, w.state.own)
}

// consistent tells whether a checkpoint continues the known one of its origin.
func consistent(known, c seal.Checkpoint, proof tlog.TreeProof) error {
	var empty seal.Edge
	switch {
	case c.Size == 0 && c.Root != empty.Root():
		return refuse(http.StatusUnprocessableEntity, "the root of the empty tree is wrong")
	case known.Size == 0 && len(proof) > 0:
		return refuse(http.StatusUnprocessableEntity, "from size 0 there is nothing to prove")
	case known.Size == 0:
		return nil
	}
	if err := tlog.CheckTree(proof, int64(c.Size), c.Root, int64(known.Size), known.Root); err != nil {
		return refuse(http.StatusUnprocessableEntity, "the proof from size %d to %d does not verify", known.Size, c.Size)
	}
	return nil
}

// line is the signature line of a verifier in a signed note.
func line(signed []byte, v note.Verifier) ([]byte, error) {
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return nil, fmt.Errorf("the cosignature does not verify: %w", err)
	}
	alone, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs})
	if err != nil {
		return nil, err
	}
	return alone[bytes.LastIndex(alone, []byte("\n\n"))+2:], nil
}

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (w *Witness) serveCheckpoint(rw http.ResponseWriter, r *http.Request) {
	hash := r.PathValue("hash")
	if !hashPattern.MatchString(hash) {
		http.NotFound(rw, r)
		return
	}
	_, signed, err := w.state.load(hash)
	switch {
	case err != nil:
		w.cfg.Logger.Error("a checkpoint is not shown", "error", err)
		http.Error(rw, "the witness has a problem", http.StatusInternalServerError)
	case signed == nil:
		http.NotFound(rw, r)
	default:
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Write(signed)
	}
}
