package seal_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/processor/seal"
)

// A retention record is read as it was signed, in one form only, and by the log's
// key only.
func TestRetention(t *testing.T) {
	t.Parallel()
	key, err := seal.CreateKey(filepath.Join(t.TempDir(), "key"), "audit.example/custody")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(key.Name(), key.Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &seal.Retention{ID: uuid.New(), Tree: seal.Tree{Topic: "custody.events", Partition: 3, Epoch: "00000000000000ff", Base: 100}, Tenant: "acme", Kind: "", Days: 30,
		Before: time.Date(2026, 6, 2, 9, 0, 0, 5e6, time.UTC), Time: time.Date(2026, 7, 2, 9, 0, 0, 0, time.UTC)}
	var d seal.LeavesDigest
	for _, at := range []uint64{105, 107} {
		if err := d.Add(at, seal.Hash{byte(at)}); err != nil {
			t.Fatal(err)
		}
	}
	if d.Add(107, seal.Hash{}) == nil {
		t.Error("an offset is taken twice")
	}
	d.Of(r)
	signed, err := key.SignRetention(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ring.OpenRetention(signed)
	if err != nil || !cmp.Equal(got, r) || !d.Matches(got) {
		t.Errorf("opened %+v, %v", got, err)
	}
	for _, change := range [][2]string{{"days 30", "days 3"}, {`"acme"`, `"globex"`}, {"105 107 2", "105 108 2"}, {"days 30", "days 030"}} {
		if _, err := ring.OpenRetention([]byte(strings.Replace(string(signed), change[0], change[1], 1))); err == nil {
			t.Errorf("%s is taken for %s", change[1], change[0])
		}
	}
	if gap, err := key.Sign("custody/log-gap/v1\n"); err != nil {
		t.Fatal(err)
	} else if _, err := ring.OpenRetention(gap); err == nil {
		t.Error("another note of the log passes for a retention record")
	}
	var other seal.LeavesDigest
	_ = other.Add(105, seal.Hash{105}) // the first is behind nothing
	_ = other.Add(107, seal.Hash{1})
	if other.Matches(r) {
		t.Error("another leaf has the same digest")
	}
	empty := *r
	empty.Count = 0
	if _, err := key.SignRetention(&empty); err == nil {
		t.Error("a record of nothing is signed")
	}
}
