package redact

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// Secret is what a Finder found in a text.
type Secret struct {
	// Kind is the name of the rule that found it.
	Kind string
	// Text is the secret as it stands in the text.
	Text string
}

// Finder finds secrets of more forms than this package knows. name is that of the
// member or attribute whose value the text is; empty where there is none. It is
// safe for concurrent use, and gives the same secrets for the same arguments: an
// event that is sent again must become the same one.
type Finder func(name, text string) []Secret

// Deep returns a redactor that also replaces what find finds.
func (r *Redactor) Deep(find Finder) *Redactor { return &Redactor{r.keyID, r.key, find} }

var refs = regexp.MustCompile(reference)

// search replaces what find finds between references: what looks like a secret
// within one is none.
func (r *Redactor) search(name, s string, found *[]string) string {
	if !strings.Contains(s, ":") {
		return r.replaceFound(name, s, found)
	}
	var out strings.Builder
	at := 0
	for _, ref := range refs.FindAllStringIndex(s, -1) {
		out.WriteString(r.replaceFound(name, s[at:ref[0]], found))
		out.WriteString(s[ref[0]:ref[1]])
		at = ref[1]
	}
	out.WriteString(r.replaceFound(name, s[at:], found))
	return out.String()
}

func (r *Redactor) replaceFound(name, s string, found *[]string) string {
	if s == "" {
		return s
	}
	secrets := r.find(name, s)
	if len(secrets) == 0 {
		return s
	}
	// A secret may be part of a longer one that another rule found.
	slices.SortFunc(secrets, func(a, b Secret) int {
		return cmp.Or(len(b.Text)-len(a.Text), strings.Compare(a.Text, b.Text), strings.Compare(a.Kind, b.Kind))
	})
	var pairs []string
	for _, secret := range secrets {
		pairs = append(pairs, secret.Text, r.refOf(secret.Text))
		if !slices.Contains(*found, secret.Kind) {
			*found = append(*found, secret.Kind)
		}
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// refOf is the reference that the same secret has everywhere.
func (r *Redactor) refOf(secret string) string {
	if jwt.FindString(secret) == secret {
		return event.TokenRef(secret)
	}
	return r.ref(secret)
}

// searchRecord searches the texts of a JSON record. Of any other text, a message
// about one, it searches what is quoted and then the whole.
func (r *Redactor) searchRecord(b []byte, found *[]string) []byte {
	if start := bytes.TrimLeft(b, " \t\r\n"); bytes.HasPrefix(start, []byte("{")) || bytes.HasPrefix(start, []byte("[")) {
		return r.literals(b, unquoteJSON, found)
	}
	b = r.literals(b, strconv.Unquote, found)
	if s := r.search("", string(b), found); len(*found) > 0 {
		return []byte(s)
	}
	return b
}

// literals redacts each text of a JSON record for itself, with the name of its
// member, so that a find never reaches over what separates two of them. It reads
// no more of JSON than where its texts begin and end; whether the record is any, its
// parser says.
func (r *Redactor) literals(b []byte, unquote func(string) (string, error), found *[]string) []byte {
	var out []byte
	name, done := "", 0
	for i := 0; i < len(b); i++ {
		if b[i] != '"' {
			continue
		}
		end := closing(b, i+1)
		text, err := unquote(string(b[i : end+1]))
		if err != nil {
			i = end
			continue
		}
		isName := bytes.HasPrefix(bytes.TrimLeft(b[end+1:], " \t\r\n"), []byte(":"))
		if isName {
			name = ""
		}
		if clean := r.search(name, text, found); clean != text {
			quoted, _ := json.Marshal(clean) // a text
			out = append(append(out, b[done:i]...), quoted...)
			done = end + 1
		}
		if isName {
			name = text
		}
		i = end
	}
	if done == 0 {
		return b
	}
	return append(out, b[done:]...)
}

// closing returns where the text ends that begins at i.
func closing(b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return len(b) - 1
}

func unquoteJSON(literal string) (text string, err error) {
	if len(literal) > 1 && strings.IndexByte(literal, '\\') < 0 && strings.HasSuffix(literal, `"`) {
		return literal[1 : len(literal)-1], nil
	}
	err = json.Unmarshal([]byte(literal), &text)
	return text, err
}
