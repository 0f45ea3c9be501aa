package proof_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/custody-audit/custody/evidence/proof"
)

// What nobody signed is not unpacked: a small bundle cannot make much of itself.
func TestUnsignedIsNotUnpacked(t *testing.T) {
	key := newKey(t, logName)
	manifest := `{"log":"` + logName + `","trees":[` + strings.Repeat("{},", 2_000_000) + `{}]}`
	bundle := proof.Pack([]proof.Packed{{Name: "manifest.json", Content: []byte(manifest)}, {Name: "manifest.note", Content: []byte("nobody's")}})
	p := policy(t, "log "+key.Verifier()+"\n")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	report := verify(t, bundle, p)
	runtime.ReadMemStats(&after)
	if report.Intact || report.Class != proof.Signature {
		t.Errorf("%+v", report)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 20*uint64(len(bundle)) { // 2 million trees take 50 times as much
		t.Errorf("%d bytes of memory for a bundle of %d", used, len(bundle))
	}
}
