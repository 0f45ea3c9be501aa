package mcpconfig

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/custody-audit/custody/collector/redact"
)

// named judges a value by its name, its form, and the URL it may be.
func named(place, name, value string) []finding {
	if !secretName(name) {
		return plain(place, name, value)
	}
	scheme, value := cutScheme(strings.TrimSpace(value))
	if value = literal(value); value == "" {
		return nil
	}
	if strings.Contains(value, "://") {
		if inside := inURL(place, value); len(inside) > 0 { // a connection string
			return inside
		}
	}
	return []finding{{place, name, kindOf(name, scheme), value}}
}

// plain judges a value by its form and by the URL it may be.
func plain(place, member, value string) []finding {
	if scheme, credential := cutScheme(strings.TrimSpace(value)); scheme != "" {
		if credential = literal(credential); len(credential) >= 8 && !strings.Contains(credential, " ") {
			return []finding{{place, member, kindOf("", scheme), credential}}
		}
		return nil
	}
	if inside := inURL(place, value); len(inside) > 0 {
		return inside
	}
	if secret := knownForm.FindString(value); secret != "" {
		return []finding{{place, member, "api_key", secret}}
	}
	return nil
}

// knownForm has the secrets that are recognised under any name: those that
// redaction knows, its own references of them, and what it left of them.
var knownForm = regexp.MustCompile(`(?:sha256|hmac:[A-Za-z0-9._-]{1,64}):[A-Za-z0-9_-]{43}|` + regexp.QuoteMeta(redact.Redacted) +
	`|\bey[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*` +
	`|\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,}|glpat-[A-Za-z0-9_-]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{35}` +
	`|sk-[A-Za-z0-9_-]{20,}|sk_(?:live|test)_[A-Za-z0-9]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|npm_[A-Za-z0-9]{36}|cst_[A-Za-z0-9_-]{43}|hvs\.[A-Za-z0-9_-]{20,})`)

// cutScheme takes the authentication scheme from a header's value.
func cutScheme(value string) (scheme, credential string) {
	scheme, credential, ok := strings.Cut(value, " ")
	if ok {
		switch strings.ToLower(scheme) {
		case "bearer", "basic", "token", "apikey", "api-key":
			return strings.ToLower(scheme), strings.TrimSpace(credential)
		}
	}
	return "", value
}

func kindOf(name, scheme string) string {
	words := strings.Join(wordsOf(name), " ")
	switch {
	case scheme == "bearer":
		return "Bearer"
	case scheme == "basic":
		return "Basic"
	case strings.Contains(words, "pass") || strings.Contains(words, "pwd"):
		return "password"
	case strings.Contains(words, "cookie"):
		return "cookie"
	}
	return "api_key"
}

var (
	variable    = regexp.MustCompile(`\$\{[^{}]*\}`)
	bare        = regexp.MustCompile(`^(\$[A-Za-z_][A-Za-z0-9_]*|%[A-Za-z_][A-Za-z0-9_]*%|\{\{.*\}\}|\{[A-Za-z_][A-Za-z0-9_]*\})$`)
	elsewhere   = regexp.MustCompile(`(?i)^(op|vault|secret|secrets|secretref|keychain|bws|doppler|aws-sm|awssm|gcp-sm|azkv|file|env|ref)(://|\+|:/)`)
	filePath    = regexp.MustCompile(`^(~/|\.{1,2}/|[A-Za-z]:\\|/(home|Users|etc|var|opt|run|usr|tmp|root|mnt|srv|private|secrets)/|/[A-Za-z0-9._ /-]+\.[A-Za-z0-9]{1,8}$)`)
	placeholder = regexp.MustCompile(`(?i)^(<.*>|\[(your|insert|enter)\b.*\]|your[_ -].*|x{3,}|\*{3,}|\.{3})$`)
)

// literal is the part of a value that is written out; empty for a reference to
// a secret that is kept elsewhere, and for a placeholder that nobody filled.
func literal(value string) string {
	for _, v := range variable.FindAllString(value, -1) {
		if _, fallback, ok := strings.Cut(v, ":-"); ok && len(fallback) > 1 {
			return literal(strings.TrimSuffix(fallback, "}")) // used where the variable is not set
		}
	}
	if variable.MatchString(value) || bare.MatchString(value) || elsewhere.MatchString(value) || filePath.MatchString(value) || placeholder.MatchString(value) {
		return ""
	}
	switch strings.ToLower(value) {
	case "true", "false", "none", "null":
		return ""
	}
	return value
}

// inURL finds the password and the query parameters of a URL. It reads the text
// itself, since the standard parser refuses what redaction leaves in a password.
func inURL(place, value string) []finding {
	_, rest, ok := strings.Cut(value, "://")
	if !ok {
		return nil
	}
	var out []finding
	authority, query := rest, ""
	if at := strings.IndexAny(rest, "/?#"); at >= 0 {
		authority = rest[:at]
	}
	if at := strings.IndexByte(rest, '?'); at >= 0 {
		query, _, _ = strings.Cut(rest[at+1:], "#")
	}
	if at := strings.LastIndexByte(authority, '@'); at > 0 {
		_, password, both := strings.Cut(authority[:at], ":")
		if !both {
			password = authority[:at] // a token as the user
		}
		if secret := literal(unescape(password)); secret != "" && (both || len(secret) >= 16) {
			out = append(out, finding{place + " userinfo", "userinfo", "password", secret})
		}
	}
	for _, pair := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if value = literal(unescape(value)); value != "" && (secretName(name) || knownForm.MatchString(value)) {
			out = append(out, finding{place + "?" + name, name, kindOf(name, ""), value})
		}
	}
	path, _, _ := strings.Cut(rest[len(authority):], "?")
	for _, segment := range strings.Split(path, "/") {
		secret := knownForm.FindString(segment)
		if secret == "" && keyLike(segment) {
			secret = segment
		}
		if secret != "" {
			out = append(out, finding{place + " path", "path", "url_key", secret})
			break
		}
	}
	return out
}

// keyLike says that a segment of a path may be a key: hosted servers give each
// customer an address that nobody else is to know. It cannot tell such a key
// from an identifier.
func keyLike(segment string) bool {
	digits := strings.Count(strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return '0'
		}
		return r
	}, segment), "0")
	return len(segment) >= 20 && digits >= 4 && isName(segment) && strings.ContainsFunc(segment, unicode.IsLetter)
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(strings.ReplaceAll(s, "+", "%2B")); err == nil {
		return plain
	}
	return s
}

// Words of names. A name promises a secret when one of secretWords is in it, or
// "key" with a word that makes it one; and it does not when its last word says
// that it is about the secret, as in TOKEN_FILE; some keys open nothing.
var (
	secretWords = words("token secret password passwd pgpassword pgpasswd passphrase passcode pwd pat apikey credential credentials authorization bearer cookie jwt dsn accesskey secretkey")
	keyWords    = words("api access private secret auth signing encryption master service account license subscription personal admin integration")
	plainKeys   = words("public sort primary foreign partition cache group index idempotency")
	aboutWords  = words("file path dir directory url uri endpoint id name type limit ttl header issuer audience expiry expires timeout prefix length count budget user username host port region version scheme mode enabled")
)

func words(list string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(list) {
		out[w] = true
	}
	return out
}

func secretName(name string) bool {
	all := wordsOf(name)
	if len(all) == 0 || aboutWords[all[len(all)-1]] {
		return false
	}
	for i, w := range all {
		kind := "" // which key
		if i > 0 {
			kind = all[i-1]
		}
		if secretWords[w] || w == "key" && !plainKeys[kind] && (i == len(all)-1 || keyWords[kind]) {
			return true
		}
	}
	return false
}

// wordsOf splits GITHUB_TOKEN, x-api-key and clientSecret.
func wordsOf(name string) []string {
	var spaced strings.Builder
	previous := ' '
	for i, r := range name {
		if i >= 256 {
			break
		}
		if unicode.IsUpper(r) && unicode.IsLower(previous) {
			spaced.WriteByte(' ')
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			r = ' '
		}
		spaced.WriteRune(unicode.ToLower(r))
		previous = r
	}
	return strings.Fields(spaced.String())
}
