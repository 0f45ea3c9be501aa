package deepscan

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zricethezav/gitleaks/v8/detect"

	"github.com/custody-audit/custody/collector/deepscan/deepscantest"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/schemas/story"
)

func oracle(t testing.TB) *detect.Detector {
	t.Helper()
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	d.IgnoreGitleaksAllow = true
	return d
}

// pairs are the finds as "rule secret", sorted.
func pairs(found []redact.Secret) (out []string) {
	for _, f := range found {
		out = append(out, f.Kind+" "+f.Text)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func byOracle(d *detect.Detector, text string) (out []string) {
	for _, f := range d.DetectString(text) {
		out = append(out, f.RuleID+" "+f.Secret)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// texts are canaries alone, in sentences, cut, with another letter somewhere, and
// joined with others; and the texts of the story.
func texts(t testing.TB, n int) (out []string) {
	t.Helper()
	canaries := deepscantest.Canaries(t)
	if len(canaries) < 210 {
		t.Fatalf("only %d canaries", len(canaries))
	}
	r := rand.New(rand.NewPCG(3, 4))
	const letters = "abcXYZ019_-=:\"'. \n\t/+;"
	for i := range n {
		text := canaries[i%len(canaries)].Text
		switch i / len(canaries) % 6 {
		case 1:
			text = "see " + text + " for it"
		case 2:
			text = text[:1+r.IntN(len(text)-1)]
		case 3:
			b := []byte(text)
			b[r.IntN(len(b))] = letters[r.IntN(len(letters))]
			text = string(b)
		case 4:
			text += string(letters[r.IntN(len(letters))]) + canaries[r.IntN(len(canaries))].Text
		case 5:
			text = string(letters[r.IntN(len(letters))]) + text + string(letters[r.IntN(len(letters))])
		}
		out = append(out, text)
	}
	for _, e := range story.Events() {
		e.EachString(func(_, s string) string { out = append(out, s); return s })
	}
	return out
}

// What gitleaks' own detector finds is found, with the same secret; and no more,
// but for the generic rule, whose find the detector hides behind another's on the line.
func TestOracle(t *testing.T) {
	d := oracle(t)
	found := map[string]bool{}
	for _, text := range texts(t, 6*217) {
		want, got := byOracle(d, text), pairs(Find("", text))
		for _, x := range want {
			rule, _, _ := strings.Cut(x, " ")
			found[rule] = true
			if !slices.Contains(got, x) {
				t.Errorf("%q: got %q, not %q", text, got, x)
			}
		}
		for _, x := range got {
			if !slices.Contains(want, x) && !strings.HasPrefix(x, generic+" ") {
				t.Errorf("%q: got %q, which gitleaks does not find", text, x)
			}
		}
	}
	for _, r := range defaults().rules {
		if !found[r.RuleID] {
			t.Errorf("rule %s was not tried", r.RuleID)
		}
	}
}

// In what is left of an event and of a record gitleaks finds nothing more, wherever
// the secret stood; and what is left is the same each time, and stays.
func TestNothingIsLeft(t *testing.T) {
	d, r := oracle(t), redactor(t).Deep(Find)
	for _, c := range deepscantest.Canaries(t) {
		e := story.Events()[0]
		e.Tool.Arguments, e.Attributes = "{}", map[string]string{"note": "x"}
		e.EachString(func(string, string) string { return "see " + c.Text + " for it" })
		if !r.Event(e) {
			t.Errorf("%s: nothing found in %q", c.Rule, c.Text)
		}
		e.EachString(func(path, s string) string {
			if strings.Contains(s, c.Secret) || len(d.DetectString(s)) > 0 && !strings.HasPrefix(path, "warnings") {
				t.Errorf("%s: %s is %q", c.Rule, path, s)
			}
			return s
		})
		if warnings := len(e.Warnings); r.Event(e) || len(e.Warnings) != warnings {
			t.Errorf("%s: redacting again finds %q", c.Rule, e.Warnings[warnings:])
		}
		record, err := json.Marshal(map[string]any{"a": []string{"x", c.Text}, "b": map[string]string{"c": "see " + c.Text + " for it"}, "d": 1})
		if err != nil {
			t.Fatal(err)
		}
		clean, _ := r.Bytes(record)
		again, _ := r.Bytes(bytes.Clone(record))
		var value any
		if err := json.Unmarshal(clean, &value); err != nil || bytes.Contains(clean, []byte(c.Secret)) || !bytes.Equal(clean, again) {
			t.Errorf("%s: %s became %s, %v", c.Rule, record, clean, err)
		}
	}
}

// Ordinary records of every source lose nothing.
func TestRecordsOfSourcesStay(t *testing.T) {
	plain := redactor(t)
	deep, records := plain.Deep(Find), 0
	files, err := filepath.Glob(filepath.Join("..", "*", "testdata", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			records++
			want, _ := plain.Bytes(line)
			if got, found := deep.Bytes(line); !bytes.Equal(got, want) {
				t.Errorf("%s: %q found in\n%s", file, found, want)
			}
		}
	}
	for _, e := range story.Events() {
		records++
		if deep.Event(e) {
			t.Errorf("found %q in %s", e.Warnings, e.Canonical())
		}
	}
	if records < 200 {
		t.Errorf("only %d records", records)
	}
}

// A name is the context that many rules want, but our names are not judged
// themselves: a token's id is no token.
func TestNames(t *testing.T) {
	const random = "f3a9c1d27b4e8065f3a9c1d27b4e8066"
	for _, c := range []struct{ name, text, want string }{
		{"", random, ""},
		{"adafruit_key", random, "adafruit-api-key " + random},
		{"note", "adafruit_=" + random, "adafruit-api-key " + random},
		{"token_id", random, ""},
		{"note", "seen " + random, ""},
		{"note", "token: " + random, generic + " " + random},
		{"token_id", "token: " + random, generic + " " + random},
		{"AKIA" + "XSCRX5R5A7LMPNNN", "x", ""}, // a name is looked at by itself
	} {
		if got := strings.Join(pairs(Find(c.name, c.text)), ", "); got != c.want {
			t.Errorf("%q of %q: got %q, want %q", c.text, c.name, got, c.want)
		}
	}
}

// A word that gitleaks has for comments in source code switches nothing off.
func TestNobodyIsAllowed(t *testing.T) {
	if found := Find("", "glpat-"+"aB3dE5fG7hJ9kL1mN3pQ # gitleaks:allow"); len(found) != 1 {
		t.Errorf("found %v", found)
	}
}

func TestLongTexts(t *testing.T) {
	secret := "glpat-" + "aB3dE5fG7hJ9kL1mN3pQ"
	if found := Find("", strings.Repeat("a ", MaxText/2-20)+secret); len(found) != 1 {
		t.Errorf("found %v", found)
	}
	if found := Find("", strings.Repeat("a ", MaxText/2)+secret); found != nil {
		t.Errorf("found %v", found)
	}
}
