package event

import (
	"regexp"
	"strings"
	"testing"
)

// FuzzForms holds the checks by hand against the patterns that the JSON Schema publishes.
func FuzzForms(f *testing.F) {
	hash := strings.Repeat("aZ-_09", 8)[:43]
	for _, s := range []string{
		"", "-", "a", "a\n", "acme", "Acme", "a.b/c-d_e", strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 96), strings.Repeat("a", 97),
		"1.0", "0.1", "12345.1", "1.12345", "1.", ".1", "1.0.0", "sha256:" + hash, "sha256:" + hash + "a", "sha256:" + hash[1:], "hmac:k1:" + hash, "hmac::" + hash,
		"hmac:" + strings.Repeat("k", 64) + ":" + hash, "hmac:" + strings.Repeat("k", 65) + ":" + hash, "hmac:a:b:" + hash, "hmac:é:" + hash,
		strings.Repeat("0f", 16), strings.Repeat("0F", 16), strings.Repeat("0f", 8), hash[:22],
		"0190a0b0-1234-7abc-8def-0123456789ab", "0190A0B0-1234-7abc-8def-0123456789ab", "0190a0b0x1234-7abc-8def-0123456789ab",
	} {
		f.Add(s)
	}
	patterns := map[*form]*regexp.Regexp{}
	for _, form := range []*form{&idForm, &tenantForm, &typeForm, &versionForm, &refForm, &hashForm, &traceIDForm, &spanIDForm, &saltForm} {
		patterns[form] = regexp.MustCompile(form.pattern)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for form, re := range patterns {
			if got, want := form.ok(s), re.MatchString(s); got != want {
				t.Errorf("%q: by hand %v, by %s %v", s, got, re, want)
			}
		}
	})
}
