package proof_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/custody-audit/custody/evidence/proof"
)

// second is what the verifier of docs/verify says of a bundle.
type second struct {
	Intact      bool
	Class       proof.Class
	Detail      string
	Origin      string
	Offsets     []uint64
	Unreadable  string
	Events      uint64
	Unwitnessed bool
	Trees       []proof.TreeReport
}

func python(t testing.TB, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{"-B"}, args...)...)
	cmd.Dir = filepath.Join("..", "..", "docs", "verify")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if said.Len() > 0 {
		t.Errorf("python3 says: %s", said.String())
	}
	return out.String(), err
}

// secondOf has bundles judged in one process.
func secondOf(t testing.TB, policyText string, known [][]byte, bundles ...[]byte) (out []second) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	args := []string{"verify.py", "--policy", write("policy", []byte(policyText))}
	for i, note := range known {
		args = append(args, "--latest-known", write(fmt.Sprint("known", i), note))
	}
	for i, b := range bundles {
		args = append(args, write(fmt.Sprint(i), b))
	}
	text, _ := python(t, args...) // its exit code is 1 when one is refused
	lines := bufio.NewScanner(bytes.NewReader([]byte(text)))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var s second
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		out = append(out, s)
	}
	if len(out) != len(bundles) {
		t.Fatalf("%d answers for %d bundles: %s", len(out), len(bundles), text)
	}
	return out
}

// judged has a bundle judged by both verifiers, which must agree.
func judged(t testing.TB, bundle []byte, policyText string, known ...[]byte) *proof.Report {
	t.Helper()
	r, err := proof.Verify(bytes.NewReader(bundle), policy(t, policyText), known)
	if err != nil && !errors.Is(err, proof.ErrUnreadable) {
		t.Fatal(err)
	}
	s := secondOf(t, policyText, known, bundle)[0]
	if (err != nil) != (s.Unreadable != "") || err == nil && (r.Intact != s.Intact || r.Class != s.Class || r.Intact && (r.Unwitnessed != s.Unwitnessed || r.Events != s.Events)) {
		t.Errorf("the verifiers disagree: %+v, %v; %+v", r, err, s)
	}
	return r
}

// The second verifier takes what the first takes, and gives each way of tampering
// the same name; it refuses every bundle with a byte that is another.
func TestSecondVerifier(t *testing.T) {
	e := newEstate(t, true)
	bundle := e.small()
	first := e.intact(bundle)
	changed := [][]byte{bundle}
	for _, a := range attacks {
		changed = append(changed, a.apply(e, bundle))
	}
	for i, s := range secondOf(t, e.policyText(), nil, changed...) {
		if i == 0 {
			if !s.Intact || s.Events != first.Events || len(s.Trees) != len(first.Trees) || len(s.Trees[0].Witnesses) != 1 {
				t.Errorf("the bundle: %+v", s)
			}
		} else if a := attacks[i-1]; s.Intact || s.Class != a.want {
			t.Errorf("%s: class %q, want %q: %+v", a.name, s.Class, a.want, s)
		}
	}
	for _, cut := range []int{len(bundle) / 2, len(bundle) * 3 / 4, len(bundle) - 600, len(bundle) - 1} {
		if r := judged(t, bundle[:cut], e.policyText()); r.Class != proof.Truncated {
			t.Errorf("cut at %d of %d: %+v", cut, len(bundle), r.Problems)
		}
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"bundle": bundle, "policy": []byte(e.policyText())} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := python(t, "flip.py", filepath.Join(dir, "bundle"), filepath.Join(dir, "policy"))
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	t.Log(out)
}
