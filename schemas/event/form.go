package event

// A form is what the text of some fields must look like: pattern says it for
// the JSON Schema and is the tests' oracle, ok checks it by hand, because every
// event passes here twice and regular expressions were half of that cost.
type form struct {
	pattern string
	ok      func(string) bool
	want    string
}

var (
	idForm      = form{`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`, isID, "a UUID in lower case"}
	tenantForm  = form{`^[a-z0-9][a-z0-9_-]{0,62}$`, isTenant, "lower-case letters, digits, - and _, at most 63"}
	typeForm    = form{`^[a-z0-9][a-z0-9_./-]{0,95}$`, isType, "lower-case letters, digits and ._/-"}
	versionForm = form{`^[1-9][0-9]{0,3}\.[0-9]{1,4}$`, isVersion, `"MAJOR.MINOR"`}
	refForm     = form{`^(sha256|hmac:[A-Za-z0-9._-]{1,64}):[A-Za-z0-9_-]{43}$`, isRef,
		`"sha256:" or "hmac:KEYID:" and 43 base64url characters; never the token itself`}
	hashForm    = form{`^sha256:[A-Za-z0-9_-]{43}$`, isHash, `"sha256:" and 43 base64url characters`}
	traceIDForm = form{`^[0-9a-f]{32}$`, func(s string) bool { return len(s) == 32 && all(s, hexDigit) }, "32 lower-case hex digits"}
	spanIDForm  = form{`^[0-9a-f]{16}$`, func(s string) bool { return len(s) == 16 && all(s, hexDigit) }, "16 lower-case hex digits"}
	saltForm    = form{`^[A-Za-z0-9_-]{22}$`, func(s string) bool { return len(s) == 22 && all(s, base64url) }, "16 bytes as base64url"}
)

// Patterns returns the form that Validate wants of a field, by its path. It is
// what the generated JSON Schema says too.
func Patterns() map[string]string {
	out := map[string]string{}
	for f, paths := range map[*form][]string{
		&idForm: {"id"}, &tenantForm: {"tenant", "source.id"}, &typeForm: {"type", "source.type"}, &versionForm: {"schema_version"},
		&refForm:  {"token.ref", "exchange.subject_token_ref", "exchange.actor_token_ref", "exchange.issued_token_ref"},
		&hashForm: {"tool.arguments_hash"}, &saltForm: {"salt"},
		&traceIDForm: {"correlation.trace_id"}, &spanIDForm: {"correlation.span_id", "correlation.parent_span_id"},
	} {
		for _, path := range paths {
			out[path] = f.pattern
		}
	}
	return out
}

// ValidTenant says whether s can name a tenant: lower-case letters, digits,
// '-' and '_', at most 63, so that it is safe in keys, paths and filters.
func ValidTenant(s string) bool { return isTenant(s) }

// ValidRef says whether s has the form of a token reference.
func ValidRef(s string) bool { return isRef(s) }

// class is a set of characters, a bit each in classes.
type class uint8

const (
	hexDigit  class = 1 << iota // 0-9 a-f
	digit                       // 0-9
	lower                       // a-z 0-9
	nameRest                    // lower and _ -
	typeRest                    // nameRest and . /
	base64url                   // A-Z a-z 0-9 _ -
	keyID                       // base64url and .
)

var classes = func() (t [256]class) {
	add := func(c class, chars string) {
		for i := range len(chars) {
			t[chars[i]] |= c
		}
	}
	const digits, small, large = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	add(hexDigit, digits+"abcdef")
	add(digit, digits)
	add(lower, digits+small)
	add(nameRest, digits+small+"_-")
	add(typeRest, digits+small+"_-./")
	add(base64url, digits+small+large+"_-")
	add(keyID, digits+small+large+"_-.")
	return t
}()

// all tells whether every character of s is in c. It looks at eight at a time,
// because most texts are what they should be.
func all(s string, c class) bool {
	got := c
	for ; len(s) >= 8; s = s[8:] {
		got &= classes[s[0]] & classes[s[1]] & classes[s[2]] & classes[s[3]] & classes[s[4]] & classes[s[5]] & classes[s[6]] & classes[s[7]]
	}
	for i := range len(s) {
		got &= classes[s[i]]
	}
	return got != 0
}

func isTenant(s string) bool { return s != "" && len(s) <= 63 && all(s[:1], lower) && all(s, nameRest) }

func isType(s string) bool { return s != "" && len(s) <= 96 && all(s[:1], lower) && all(s, typeRest) }

func isID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' &&
		all(s[:8], hexDigit) && all(s[9:13], hexDigit) && all(s[14:18], hexDigit) && all(s[19:23], hexDigit) && all(s[24:], hexDigit)
}

func isVersion(s string) bool {
	for i := range len(s) {
		if s[i] == '.' {
			major, minor := s[:i], s[i+1:]
			return i >= 1 && i <= 4 && major[0] != '0' && all(major, digit) && len(minor) >= 1 && len(minor) <= 4 && all(minor, digit)
		}
	}
	return false
}

const (
	sha256Prefix = "sha256:"
	hmacPrefix   = "hmac:"
	hashLength   = 43 // of 32 bytes as base64url
)

func isHash(s string) bool {
	return len(s) == len(sha256Prefix)+hashLength && s[:len(sha256Prefix)] == sha256Prefix && all(s[len(sha256Prefix):], base64url)
}

func isRef(s string) bool {
	if isHash(s) {
		return true
	}
	n := len(s) - hashLength - 1 // of the prefix and the key's id
	return n > len(hmacPrefix) && n <= len(hmacPrefix)+64 && s[:len(hmacPrefix)] == hmacPrefix && s[n] == ':' &&
		all(s[len(hmacPrefix):n], keyID) && all(s[n+1:], base64url)
}
