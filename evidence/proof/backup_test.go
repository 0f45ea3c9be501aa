package proof_test

import (
	"os"
	"testing"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/schemas/story"
)

// ClickHouse and the folder of checkpoints are both brought back to an older state: a
// bundle made of them is intact by itself, and truncated for who knows a newer
// checkpoint; both verifiers say so.
func TestRestoredBackup(t *testing.T) {
	e := newEstate(t, true)
	all := story.Events()
	e.send(all[:30]...)
	kept := t.TempDir()
	if err := os.CopyFS(kept, os.DirFS(e.dir)); err != nil {
		t.Fatal(err)
	}
	tables := []string{"records", "tree_nodes", "checkpoints"}
	for _, name := range tables {
		e.do("CREATE TABLE "+name+"_kept AS "+name, "INSERT INTO "+name+"_kept SELECT * FROM "+name)
	}
	e.send(all[30:]...)
	newest := e.export(e.request("tenant:acme", ""))
	e.intact(newest)
	for _, name := range tables {
		e.do("TRUNCATE TABLE "+name, "INSERT INTO "+name+" SELECT * FROM "+name+"_kept")
	}
	if err := os.RemoveAll(e.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(e.dir, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
	restored := e.export(e.request("tenant:acme", ""))
	if r := judged(t, restored, e.policyText()); !r.Intact || r.Events == 0 {
		t.Errorf("by itself: %+v", r.Problems)
	}
	if r := judged(t, restored, e.policyText(), checkpoints(t, newest)...); r.Class != proof.Truncated {
		t.Errorf("for who knows a newer checkpoint: %s, %+v", r.Class, r.Problems)
	}
}

// do runs statements as an administrator.
func (e *estate) do(statements ...string) {
	e.Helper()
	for _, s := range statements {
		if err := e.admin.Exec(e.Context(), s); err != nil {
			e.Fatalf("%s: %v", s, err)
		}
	}
}
