package digest_test

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"

	"github.com/custody-audit/custody/processor/digest"
)

func check(t *testing.T, a, b []byte) {
	t.Helper()
	if x, y := digest.Two(a, b); x != sha256.Sum256(a) || y != sha256.Sum256(b) {
		t.Fatalf("lengths %d and %d: %x and %x, want %x and %x", len(a), len(b), x, y, sha256.Sum256(a), sha256.Sum256(b))
	}
}

// Every way in which the ends of two messages can lie to one another.
func TestLengths(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	data := make([]byte, 1000)
	r.Read(data)
	for n := range 330 {
		for m := range 330 {
			check(t, data[:n], data[300:300+m])
		}
	}
	for range 2000 {
		from := r.Uint64() % 64
		check(t, data[from:from+r.Uint64()%900], data[r.Uint64()%1000:])
	}
}

func FuzzTwo(f *testing.F) {
	f.Add([]byte("abc"), make([]byte, 119))
	f.Fuzz(func(t *testing.T, a, b []byte) { check(t, a, b) })
}

// Messages are only read, and nothing is kept of them.
func TestAllocations(t *testing.T) {
	a, b := make([]byte, 924), make([]byte, 871)
	if n := testing.AllocsPerRun(10, func() { digest.Two(a, b) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

// BenchmarkTwo is two messages side by side, and one after the other.
func BenchmarkTwo(b *testing.B) {
	for name, of := range map[string][2]int{"event": {924, 871}, "nodes": {65, 65}} {
		x, y := make([]byte, of[0]), make([]byte, of[1])
		b.Run("of="+name+"/by=digest", func(b *testing.B) {
			for b.Loop() {
				digest.Two(x, y)
			}
		})
		b.Run("of="+name+"/by=crypto", func(b *testing.B) {
			for b.Loop() {
				sha256.Sum256(x)
				sha256.Sum256(y)
			}
		})
	}
}
