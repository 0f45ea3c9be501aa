// Package redact removes secrets from events before they are made durable.
//
// A JSON Web Token anywhere in any text becomes its token reference, so that
// the event still joins; a secret of a known form (cloud and forge keys, API
// keys, private keys, bearer headers) becomes a keyed reference, which tells
// two secrets apart and is no oracle for guesses; the value of an attribute
// whose name promises a secret is dropped. Each is flagged in warnings. It
// guarantees nothing for a secret of unknown form in a field of another name;
// [Redactor.Deep] adds whoever knows more forms.
package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// Redacted stands for a value that was dropped.
const Redacted = "[redacted]"

// Redactor is safe for concurrent use.
type Redactor struct {
	keyID string
	key   []byte
	find  Finder // nil: the forms below are all
}

// New returns a redactor whose references of low-entropy secrets are made under
// key (at least 32 bytes), named keyID. Without a key such secrets are dropped.
func New(keyID string, key []byte) (*Redactor, error) {
	if len(key) > 0 && (len(key) < 32 || keyID == "") {
		return nil, fmt.Errorf("redaction key %q: want a name and at least 32 bytes, got %d", keyID, len(key))
	}
	return &Redactor{keyID, key, nil}, nil
}

// form is one kind of secret. Hints are literals of which every match contains
// one: most text contains none and is not searched.
type form struct {
	name    string
	hints   []string
	pattern *regexp.Regexp
}

var forms = []form{
	{"private key", []string{"-----BEGIN"}, secretForm(`-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY( BLOCK)?-----|$)`)},
	{"forge token", []string{"gh", "github_pat_", "glpat-"}, secretForm(`\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,}|glpat-[A-Za-z0-9_-]{20,})`)},
	{"cloud key", []string{"AKIA", "ASIA", "AIza"}, secretForm(`\b((AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{35})\b`)},
	{"API key", []string{"sk-", "sk_", "xox", "npm_", "cst_", "hvs."}, secretForm(`\b(sk-[A-Za-z0-9_-]{20,}|sk_(live|test)_[A-Za-z0-9]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|npm_[A-Za-z0-9]{36}|cst_[A-Za-z0-9_-]{43}|hvs\.[A-Za-z0-9_-]{20,})`)},
	{authorization, []string{"earer ", "asic "}, secretForm(`(?i)\b(bearer|basic) [A-Za-z0-9._~+/=-]{16,}`)},
}

// within keeps the scheme of an authorization header: the same credential has the
// same reference wherever it stands.
func (f *form) within(ref func(string) string) func(string) string {
	if f.name != authorization {
		return ref
	}
	return func(header string) string {
		scheme, credential, _ := strings.Cut(header, " ")
		return scheme + " " + ref(credential)
	}
}

const authorization = "authorization header"

// secretForm compiles a pattern that also matches references, so that what looks
// like a secret within a reference's base64url is passed over with it.
func secretForm(pattern string) *regexp.Regexp {
	return regexp.MustCompile(reference + "|" + pattern)
}

const reference = `\b(?:sha256|hmac:[A-Za-z0-9._-]{1,64}):[A-Za-z0-9_-]{43}`

const tokenHint = "ey"

var jwt = secretForm(`\bey[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*`)

// secretNames are whole words of attribute names that promise a secret.
var secretNames = regexp.MustCompile(`(?i)(^|[._-])(authorization|cookie|set-cookie|password|passwd|secret|api[_-]?key|access[_-]?token|refresh[_-]?token|id[_-]?token|client[_-]?secret|private[_-]?key)$`)

// Needed tells whether Event may change e, whose canonical bytes are given: most
// events have nothing that a secret's form begins with, and need not be walked.
func (r *Redactor) Needed(e *event.Event, canonical []byte) bool {
	if r.find != nil {
		return true
	}
	for name := range e.Attributes {
		if secretNames.MatchString(name) {
			return true
		}
	}
	return suspicious(canonical)
}

// Event redacts every text of e in place and adds one warning per field and form.
// It tells whether it changed anything.
func (r *Redactor) Event(e *event.Event) (changed bool) {
	var warnings []string
	e.EachString(func(path, s string) string {
		if event.ValidRef(s) {
			return s // a reference is no secret, and its base64url may look like one
		}
		name, isAttribute := strings.CutPrefix(path, "attributes.")
		if !isAttribute {
			name = ""
		}
		if isAttribute && secretNames.MatchString(path) && s != Redacted {
			warnings = append(warnings, "secret dropped: "+clip(path))
			return Redacted
		}
		out, found := r.named(name, s)
		if path == "tool.arguments" && len(found) > 0 && !json.Valid([]byte(out)) {
			out = strconv.Quote(Redacted) // the secret reached over a quote
		}
		for _, name := range found {
			warnings = append(warnings, "secret replaced: "+name+" in "+clip(r.clean(path)))
		}
		return out
	})
	slices.Sort(warnings) // maps are walked in any order
	e.Warnings = append(e.Warnings, slices.Compact(warnings)...)
	return len(warnings) > 0
}

// clean keeps a secret in a map's key out of the warning that names its path.
func (r *Redactor) clean(path string) string {
	out, _ := r.Text(path)
	return out
}

// Text returns s without secrets, and the forms found. References in it stay.
func (r *Redactor) Text(s string) (string, []string) { return r.named("", s) }

// named is Text for the value of what has a name.
func (r *Redactor) named(name, s string) (string, []string) {
	s, found := r.known(s)
	if r.find != nil {
		s = r.search(name, s, &found)
	}
	return s, found
}

// known replaces the forms that this package knows.
func (r *Redactor) known(s string) (string, []string) {
	var found []string
	if strings.Contains(s, tokenHint) {
		s = replace(s, jwt, "token", &found, event.TokenRef)
	}
	for i := range forms {
		f := &forms[i]
		if containsAny(s, f.hints) {
			s = replace(s, f.pattern, f.name, &found, f.within(r.ref))
		}
	}
	return s, found
}

// Bytes is Text for a whole record; it returns b itself when nothing is found.
func (r *Redactor) Bytes(b []byte) ([]byte, []string) {
	var found []string
	if suspicious(b) {
		var s string
		if s, found = r.known(string(b)); len(found) > 0 {
			b = []byte(s)
		}
	}
	if r.find != nil {
		b = r.searchRecord(b, &found)
	}
	return b, found
}

// suspicious says whether a hint of any form is in b.
func suspicious(b []byte) bool {
	if bytes.Contains(b, []byte(tokenHint)) {
		return true
	}
	return slices.ContainsFunc(forms, func(f form) bool {
		return slices.ContainsFunc(f.hints, func(h string) bool { return bytes.Contains(b, []byte(h)) })
	})
}

func replace(s string, pattern *regexp.Regexp, name string, found *[]string, with func(string) string) string {
	return pattern.ReplaceAllStringFunc(s, func(secret string) string {
		if event.ValidRef(secret) {
			return secret
		}
		if !slices.Contains(*found, name) {
			*found = append(*found, name)
		}
		return with(secret)
	})
}

func (r *Redactor) ref(secret string) string {
	if len(r.key) == 0 {
		return Redacted
	}
	return event.SecretRef(r.keyID, r.key, secret)
}

func containsAny(s string, hints []string) bool {
	return slices.ContainsFunc(hints, func(h string) bool { return strings.Contains(s, h) })
}

func clip(s string) string {
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:117], "") + "..."
	}
	return s
}
