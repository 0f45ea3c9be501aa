package digest

// blocks hashes n blocks of 64 bytes at p into a and at q into b.
//
//go:noescape
func blocks(a, b *state, p, q *byte, n int)

func cpuid(leaf uint32) (ebx, ecx uint32)

// both tells that this processor has the instructions for SHA-256 and those
// that arrange what they need.
var both = func() bool {
	const ssse3, sse41, sha = 1 << 9, 1 << 19, 1 << 29
	if last, _ := cpuid(0); last == 0 {
		return false
	}
	_, features := cpuid(1)
	extended, _ := cpuid(7)
	return features&ssse3 != 0 && features&sse41 != 0 && extended&sha != 0
}()
