package witness_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/processor/witness"
)

const logName, witnessName = "audit.example/custody", "witness.example/w1"

var tree = seal.Tree{Topic: "custody.events", Partition: 3, Epoch: "00c0ffee00c0ffee", Base: 120}

// history is a whole tree, to prove from.
type history []tlog.Hash

func grow(t *testing.T, n int, fork byte) *history {
	t.Helper()
	h := &history{}
	for i := range n {
		got, err := tlog.StoredHashes(int64(i), binary.BigEndian.AppendUint64([]byte{fork}, uint64(i)), h)
		if err != nil {
			t.Fatal(err)
		}
		*h = append(*h, got...)
	}
	return h
}

func (h *history) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, (*h)[i])
	}
	return out, nil
}

func (h *history) root(t *testing.T, size int) tlog.Hash {
	t.Helper()
	r, err := tlog.TreeHash(int64(size), h)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (h *history) proof(t *testing.T, old, size int) (p tlog.TreeProof) {
	t.Helper()
	if old == 0 {
		return nil
	}
	p, err := tlog.ProveTree(int64(size), int64(old), h)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// bench is a log's key and a witness that knows it.
type bench struct {
	*testing.T
	log, key *seal.Key
	dir      string
	server   *httptest.Server
	witness  *witness.Witness
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, log: newKey(t, logName), key: newKey(t, witnessName), dir: t.TempDir()}
	b.start()
	return b
}

func newKey(t *testing.T, name string) *seal.Key {
	t.Helper()
	k, err := seal.CreateKey(filepath.Join(t.TempDir(), "key"), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (b *bench) config() witness.Config {
	b.Helper()
	p, err := witness.ParsePolicy(strings.NewReader("# the logs\nlog " + b.log.Verifier() + "\n"))
	if err != nil {
		b.Fatal(err)
	}
	return witness.Config{Key: b.key, Dir: b.dir, Logs: p.Logs, Logger: slog.New(slog.DiscardHandler)}
}

func (b *bench) start() {
	b.Helper()
	w, err := witness.New(b.config())
	if err != nil {
		b.Fatal(err)
	}
	b.witness, b.server = w, httptest.NewServer(w)
	b.Cleanup(b.stop)
}

func (b *bench) stop() {
	b.server.Close()
	b.witness.Close()
}

func (b *bench) signed(by *seal.Key, size int, root tlog.Hash) []byte {
	b.Helper()
	signed, err := by.SignCheckpoint(seal.Checkpoint{Origin: tree.Origin(logName), Size: uint64(size), Root: root})
	if err != nil {
		b.Fatal(err)
	}
	return signed
}

// add sends a request and returns status and body.
func (b *bench) add(old int, proof tlog.TreeProof, signed []byte) (int, string) {
	b.Helper()
	body := fmt.Sprintf("old %d\n", old)
	for _, h := range proof {
		body += h.String() + "\n"
	}
	return b.post(body + "\n" + string(signed))
}

func (b *bench) post(body string) (int, string) {
	b.Helper()
	res, err := http.Post(b.server.URL+"/add-checkpoint", "text/plain", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	if res.StatusCode == http.StatusConflict && res.Header.Get("Content-Type") != "text/x.tlog.size" {
		b.Errorf("409 with type %q", res.Header.Get("Content-Type"))
	}
	return res.StatusCode, string(answer)
}

// Each rule of the specification, and the status it asks for.
func TestSpecification(t *testing.T) {
	b := newBench(t)
	h, fork := grow(t, 20, 0), grow(t, 20, 1)
	var empty seal.Edge
	want := func(name string, status int, body string) func(int, string) {
		return func(got int, answer string) {
			t.Helper()
			if got != status || body != "" && answer != body {
				t.Errorf("%s: %d %q, want %d %q", name, got, answer, status, body)
			}
		}
	}
	at := func(size int) []byte { return b.signed(b.log, size, h.root(t, size)) }

	want("no body", 400, "")(b.post(""))
	want("no size", 400, "")(b.post("\n\n" + string(at(5))))
	want("a size with a leading zero", 400, "")(b.post("old 00\n\n" + string(at(5))))
	want("a proof line that is no hash", 400, "")(b.post("old 0\nAAAA\n\n" + string(at(5))))
	want("64 proof lines", 400, "")(b.add(0, make(tlog.TreeProof, 64), at(5)))
	want("no note", 400, "")(b.add(0, nil, []byte(tree.Origin(logName)+"\n5\n")))
	want("an unknown origin", 404, "")(b.add(0, nil, bytes.ReplaceAll(at(5), []byte(logName), []byte("other.example"))))
	want("another key", 403, "")(b.add(0, nil, b.signed(newKey(t, logName), 5, h.root(t, 5))))
	want("a wrong signature", 403, "")(b.add(0, nil, bytes.Replace(at(5), []byte("\n5\n"), []byte("\n6\n"), 1)))
	want("an old size above", 400, "")(b.add(6, nil, at(5)))
	want("an old size never seen", 409, "0\n")(b.add(3, h.proof(t, 3, 5), at(5)))
	want("a wrong empty tree", 422, "")(b.add(0, nil, b.signed(b.log, 0, h.root(t, 1))))
	want("a proof from nothing", 422, "")(b.add(0, h.proof(t, 3, 5), at(5)))
	want("the empty tree", 200, "")(b.add(0, nil, b.signed(b.log, 0, empty.Root())))
	want("the first", 200, "")(b.add(0, nil, at(5)))
	want("the same again", 200, "")(b.add(5, nil, at(5)))
	want("the same with another root", 422, "")(b.add(5, nil, b.signed(b.log, 5, fork.root(t, 5))))
	want("from nothing again", 409, "5\n")(b.add(0, nil, at(9)))
	want("no proof", 422, "")(b.add(5, nil, at(9)))
	want("a fork", 422, "")(b.add(5, fork.proof(t, 5, 9), b.signed(b.log, 9, fork.root(t, 9))))
	want("growth", 200, "")(b.add(5, h.proof(t, 5, 9), at(9)))
	want("back", 409, "9\n")(b.add(5, h.proof(t, 5, 8), at(8)))
	want("too large", 400, "")(b.post(strings.Repeat("x", seal.MaxNote+1)))
}

// What the witness signs is a cosignature, says torchwood, and it shows the
// newest checkpoint with it.
func TestTorchwoodReadsCosignatures(t *testing.T) {
	b := newBench(t)
	h := grow(t, 9, 0)
	signed := b.signed(b.log, 9, h.root(t, 9))
	status, lines := b.add(0, nil, signed)
	if status != 200 {
		t.Fatalf("%d %s", status, lines)
	}
	origin := tree.Origin(logName)
	policy, err := torchwood.ParsePolicy([]byte("log " + seal.VerifierKey(origin, b.log.Public()) + "\nwitness w1 " + b.key.CosignerKey() + "\nquorum w1\n"))
	if err != nil {
		t.Fatal(err)
	}
	c, n, err := torchwood.VerifyCheckpoint(append(signed, lines...), policy)
	if err != nil || c.N != 9 {
		t.Fatalf("torchwood: %v", err)
	}
	if _, _, err := torchwood.VerifyCheckpoint(signed, policy); err == nil {
		t.Error("torchwood takes it without the cosignature")
	}
	theirs, err1 := torchwood.CosignatureTimestamp(n.Sigs[1])
	ours, err2 := seal.CosignatureTime(n.Sigs[1])
	if err := errors.Join(err1, err2); err != nil || theirs != ours.Unix() || time.Since(ours).Abs() > time.Minute {
		t.Errorf("signed at %v, torchwood says %v, %v", ours, theirs, err)
	}
	res, err := http.Get(fmt.Sprintf("%s/%x/checkpoint", b.server.URL, sha(origin)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	shown, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := torchwood.VerifyCheckpoint(shown, policy); err != nil || res.StatusCode != 200 {
		t.Errorf("shown is %d %q: %v", res.StatusCode, shown, err)
	}
	if res, err := http.Get(fmt.Sprintf("%s/%x/checkpoint", b.server.URL, sha("unknown"))); err != nil || res.StatusCode != 404 {
		t.Errorf("an unknown origin: %v, %v", res, err)
	} else {
		res.Body.Close()
	}
	// And the other way round: torchwood signs, we verify.
	theirKey, err := torchwood.NewCosignatureSigner(witnessName, signer(t))
	if err != nil {
		t.Fatal(err)
	}
	cosigned, err := note.Sign(&note.Note{Text: c.String()}, theirKey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := seal.ParseCosigner(theirKey.Verifier().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(cosigned, note.VerifierList(v)); err != nil {
		t.Errorf("a cosignature of torchwood: %v", err)
	}
}

// Of many that extend the same size at the same time, one is cosigned.
func TestRace(t *testing.T) {
	b := newBench(t)
	h := grow(t, 40, 0)
	if status, _ := b.add(0, nil, b.signed(b.log, 5, h.root(t, 5))); status != 200 {
		t.Fatal(status)
	}
	var mu sync.Mutex
	statuses := map[int]int{}
	var all sync.WaitGroup
	for size := 6; size <= 40; size++ {
		proof, signed := h.proof(t, 5, size), b.signed(b.log, size, h.root(t, size))
		all.Go(func() {
			status, _ := b.add(5, proof, signed)
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
		})
	}
	all.Wait()
	if statuses[200] != 1 || statuses[409] != 34 {
		t.Errorf("answers by status: %v, want one 200 and 34 times 409", statuses)
	}
}

// What was signed outlives a restart; a damaged state is not begun anew; one
// folder has one witness.
func TestState(t *testing.T) {
	b := newBench(t)
	h := grow(t, 9, 0)
	if status, _ := b.add(0, nil, b.signed(b.log, 5, h.root(t, 5))); status != 200 {
		t.Fatal(status)
	}
	if w, err := witness.New(b.config()); err == nil {
		w.Close()
		t.Error("two witnesses on one folder")
	}
	b.stop()
	b.start()
	if status, body := b.add(0, nil, b.signed(b.log, 5, h.root(t, 5))); status != 409 || body != "5\n" {
		t.Errorf("after a restart: %d %q", status, body)
	}
	file := filepath.Join(b.dir, fmt.Sprintf("%x", sha(tree.Origin(logName))))
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(content, []byte("\n5\n"), []byte("\n4\n"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, body := b.add(5, h.proof(t, 5, 9), b.signed(b.log, 9, h.root(t, 9))); status != 500 {
		t.Errorf("with a damaged state: %d %q", status, body)
	}
}

func TestClient(t *testing.T) {
	b := newBench(t)
	h, fork := grow(t, 40, 0), grow(t, 40, 1)
	client := func(key string) *witness.Client {
		t.Helper()
		c, err := witness.NewClient(b.server.URL+"/", key)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ask := func(c *witness.Client, from *history, size int) error {
		signed := b.signed(b.log, size, from.root(t, size))
		lines, err := c.Cosign(t.Context(), signed, func(_ context.Context, old uint64) (tlog.TreeProof, error) {
			return from.proof(t, int(old), size), nil
		})
		if err == nil {
			_, err = note.Open(append(signed, lines...), note.VerifierList(c.Verifier()))
		}
		return err
	}
	first, second := client(b.key.CosignerKey()), client(b.key.CosignerKey())
	for _, x := range []struct {
		name string
		by   *witness.Client
		from *history
		size int
		want error
	}{
		{"the first", first, h, 5, nil}, {"growth", first, h, 7, nil}, {"another client, which knows nothing", second, h, 20, nil},
		{"the first again", first, h, 30, nil}, {"a client that is behind", second, h, 25, seal.ErrAhead}, {"the same again", first, h, 30, nil},
		{"a fork", first, fork, 35, seal.ErrInconsistent}, {"after the fork", first, h, 35, nil},
	} {
		if err := ask(x.by, x.from, x.size); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", x.name, err, x.want)
		}
	}
	b.stop()
	b.log = newKey(t, logName) // which the witness does not know
	unknown := b.log
	b.log = newKey(t, logName)
	b.start()
	b.log = unknown
	if err := ask(client(b.key.CosignerKey()), h, 40); !errors.Is(err, seal.ErrRefused) {
		t.Errorf("an unknown key: %v", err)
	}
	b.server.Close()
	if err := ask(client(b.key.CosignerKey()), h, 40); err == nil || errors.Is(err, seal.ErrRefused) {
		t.Errorf("a witness that is away: %v", err)
	}
}

func TestPolicy(t *testing.T) {
	key := newKey(t, witnessName)
	good := "# comment\n\n  log " + newKey(t, logName).Verifier() + " https://log.example\nwitness w1\t" + key.CosignerKey() + " https://w.example/x\ngroup g any w1\nquorum g\n"
	p, err := witness.ParsePolicy(strings.NewReader(good))
	if err != nil || p.Logs.Len() != 1 || len(p.Witnesses) != 1 || p.Witnesses[0].Verifier().Name() != witnessName {
		t.Errorf("reads as %+v, %v", p, err)
	}
	for _, bad := range []string{"log", "log x+y+z", "log " + key.CosignerKey(), "witness w1 " + key.CosignerKey(), "witness w1 " + key.Verifier() + " https://w.example", "witness w1 " + key.CosignerKey() + " ftp://w", "wittness"} {
		if _, err := witness.ParsePolicy(strings.NewReader(bad + "\n")); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Whatever is sent, the witness answers for it and signs nothing that its log did not.
func FuzzAddCheckpoint(f *testing.F) {
	log, key := fuzzKey(f, logName), fuzzKey(f, witnessName)
	signed, err := log.SignCheckpoint(seal.Checkpoint{Origin: tree.Origin(logName), Size: 7})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("old 0\n\n" + strings.Replace(string(signed), "\n7\n", "\n8\n", 1))
	f.Add("old 0\nAAAA\n\nx")
	f.Add("old 1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n" + string(signed[:90]))
	p, err := witness.ParsePolicy(strings.NewReader("log " + log.Verifier() + "\n"))
	if err != nil {
		f.Fatal(err)
	}
	w, err := witness.New(witness.Config{Key: key, Dir: f.TempDir(), Logs: p.Logs, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { w.Close() })
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRecorder()
		w.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader(body)))
		if r.Code < 400 || r.Code > 422 {
			t.Errorf("%q is answered by %d %q", body, r.Code, r.Body)
		}
	})
}

func fuzzKey(f *testing.F, name string) *seal.Key {
	f.Helper()
	k, err := seal.CreateKey(filepath.Join(f.TempDir(), "key"), name)
	if err != nil {
		f.Fatal(err)
	}
	return k
}
