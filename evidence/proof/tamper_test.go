package proof_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/story"
)

// small is a bundle with everything in it: several trees, a range, an earlier
// checkpoint, records of others.
func (e *estate) small() []byte {
	e.Helper()
	events := story.Events()
	e.send(events[:20]...)
	first := e.export(e.request("", ""))
	e.send(events[20:]...)
	req := e.request("kind:permission_decision", "globex", "0:1-11", "1:22-27")
	req.From = checkpoints(e, first)
	return e.export(req)
}

// checkpoints are those of a bundle.
func checkpoints(t testing.TB, bundle []byte) (notes [][]byte) {
	for _, f := range unpack(t, bundle) {
		if strings.HasSuffix(f.Name, "/checkpoint") {
			notes = append(notes, f.Content)
		}
	}
	return notes
}

func unpack(t testing.TB, bundle []byte) (files []proof.Packed) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, proof.Packed{Name: f.Name, Content: b})
	}
	return files
}

// refused says whether a bundle is not taken: tampered with, or unreadable.
func refused(t testing.TB, bundle []byte, p *proof.Policy) bool {
	t.Helper()
	r, err := proof.Verify(bytes.NewReader(bundle), p, nil)
	if err != nil && !errors.Is(err, proof.ErrUnreadable) {
		t.Fatal(err)
	}
	return err != nil || !r.Intact && len(r.Problems) > 0 && slices.Contains(proof.Classes, r.Class)
}

// Every byte is changed in turn; some are taken out, doubled, or the last.
func TestEveryByte(t *testing.T) {
	e := newEstate(t, true)
	bundle := e.small()
	e.intact(bundle)
	p := policy(t, e.policyText())
	if len(bundle) > 64<<10 {
		t.Errorf("%d bytes are too many for this test", len(bundle))
	}
	tried, accepted := 0, 0
	try := func(what string, at int, changed []byte) {
		tried++
		if !refused(t, changed, p) {
			accepted++
			t.Errorf("accepted with byte %d %s", at, what)
		}
	}
	for i := range bundle {
		changed := bytes.Clone(bundle)
		changed[i] ^= 1 << (i % 8)
		try("changed", i, changed)
		if i%8 == 0 {
			try("taken out", i, append(bytes.Clone(bundle[:i]), bundle[i+1:]...))
			try("doubled", i, append(append(bytes.Clone(bundle[:i+1]), bundle[i]), bundle[i+1:]...))
			try("the end", i, bundle[:i])
		}
	}
	t.Logf("%d bytes, %d bundles that differ, %d accepted", len(bundle), tried, accepted)
}

// attack changes the files of a bundle. Without a key the manifest stays as it
// was; with that of the log it is made anew to fit.
type attack struct {
	name   string
	change func(e *estate, files []proof.Packed) []proof.Packed
	want   proof.Class
	signed bool // by an insider who has the key
}

var attacks = []attack{
	{"an event is changed", inFile("events.ndjson", func(s string) string { return strings.Replace(s, `"tenant":"globex"`, `"tenant":"globen"`, 1) }), proof.Content, false},
	{"an event is changed, and its signed sum", inFile("events.ndjson", func(s string) string { return strings.Replace(s, `"tenant":"globex"`, `"tenant":"globen"`, 1) }), proof.Content, true},
	{"an event is dropped", inFile("events.ndjson", func(s string) string { return withoutLine(s, 1) }), proof.Dropped, false},
	{"an event is dropped, and what is listed of it", both(inFile("events.ndjson", func(s string) string { return withoutLine(s, 1) }), inFile("leaves", withoutOpen)), proof.Dropped, false},
	{"an event is dropped by who signs", both(inFile("events.ndjson", func(s string) string { return withoutLine(s, 1) }), inFile("leaves", withoutOpen)), proof.Dropped, true},
	{"events change places", inFile("events.ndjson", func(s string) string { return swapped(s, 0, 1) }), proof.Reordered, false},
	{"leaves change places", inFile("leaves", func(s string) string { return swapped(s, 3, 4) }), proof.Reordered, true},
	{"an event is doubled", inFile("events.ndjson", doubled), proof.Duplicate, false},
	{"an event takes another's place", inFile("events.ndjson", func(s string) string { return line(s, 1) + line(s, 1) + after(s, 2) }), proof.Duplicate, true},
	{"a leaf is doubled", inFile("leaves", doubled), proof.Duplicate, true},
	{"the last event is cut off", inFile("events.ndjson", func(s string) string { return withoutLine(s, strings.Count(s, "\n")-1) }), proof.Truncated, false},
	{"the end of the list is cut off", inFile("leaves", func(s string) string { return withoutLine(s, strings.Count(s, "\n")-1) }), proof.Truncated, true},
	{"a hash is changed", inFile("nodes", func(s string) string { return swapped(s, 0, 1) }), proof.Content, true},
	{"a hash is missing", inFile("nodes", func(s string) string { return withoutLine(s, 0) }), proof.Content, true},
	{"a proof is that of another event", inFile("tlog-proof", func(s string) string { return strings.Replace(s, "index ", "index 1", 1) }), proof.Content, true},
	{"a tree is missing", func(_ *estate, files []proof.Packed) []proof.Packed {
		return slices.DeleteFunc(files, func(f proof.Packed) bool { return strings.HasPrefix(f.Name, "trees/1/") })
	}, proof.Dropped, false},
	{"trees change places", func(_ *estate, files []proof.Packed) []proof.Packed {
		i := slices.IndexFunc(files, func(f proof.Packed) bool { return strings.HasPrefix(f.Name, "trees/0/") })
		j := slices.IndexFunc(files, func(f proof.Packed) bool { return strings.HasPrefix(f.Name, "trees/1/") })
		return slices.Concat(files[:i], files[j:], files[i:j])
	}, proof.Reordered, false},
	{"a file is there twice", func(_ *estate, files []proof.Packed) []proof.Packed { return append(files, files[len(files)-1]) }, proof.Duplicate, false},
	{"a file is there that is not listed", func(_ *estate, files []proof.Packed) []proof.Packed {
		return append(files, proof.Packed{Name: "readme.txt", Content: []byte("trust me\n")})
	}, proof.Content, false},
	{"the manifest says another query", inFile("manifest.json", func(s string) string { return strings.Replace(s, "permission_decision", "tool_invocation", 1) }), proof.Signature, false},
	{"the manifest is signed by another", func(e *estate, files []proof.Packed) []proof.Packed {
		return inFile("manifest.note", func(string) string { return sign(e, newKey(e, logName), content(files, "manifest.json")) })(e, files)
	}, proof.Signature, false},
	{"the manifest has a second signature", inFile("manifest.note", func(s string) string { return s + s[strings.LastIndex(s, "— "):] }), proof.Signature, false},
	{"the checkpoint is signed by another", inFile("/checkpoint", func(s string) string { return s }), "", false},
	{"a cosignature is taken off", inFile("/checkpoint", func(s string) string { return s[:strings.LastIndex(s, "— ")] }), proof.Witness, false},
	{"a cosignature is taken off by who signs", inFile("/checkpoint", func(s string) string { return s[:strings.LastIndex(s, "— ")] }), proof.Witness, true},
	{"an earlier checkpoint is the proof of nothing", inFile("consistency", func(s string) string { return swapped(s, 0, 1) }), proof.Fork, true},
}

func init() {
	i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == "the checkpoint is signed by another" })
	attacks[i] = attack{attacks[i].name, func(e *estate, files []proof.Packed) []proof.Packed {
		k := newKey(e, logName)
		return inFile("/checkpoint", func(s string) string {
			text, _, _ := strings.Cut(s, "\n\n")
			c, err := seal.ParseCheckpoint(text + "\n")
			if err != nil {
				e.Fatal(err)
			}
			signed, err := k.SignCheckpoint(c)
			if err != nil {
				e.Fatal(err)
			}
			return string(signed)
		})(e, files)
	}, proof.Signature, true}
}

// Each way of tampering is found and has its name.
func TestTampering(t *testing.T) {
	e := newEstate(t, true)
	bundle := e.small()
	e.intact(bundle)
	p := policy(t, e.policyText())
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			e := &estate{TB: t, key: e.key}
			r := verify(t, a.apply(e, bundle), p)
			if r.Intact || r.Class != a.want {
				t.Errorf("class %q, want %q: %+v", r.Class, a.want, r.Problems)
			}
		})
	}
}

func (a *attack) apply(e *estate, bundle []byte) []byte {
	files := unpack(e, bundle)
	changed := a.change(e, files)
	if a.signed {
		changed = resigned(e, changed)
	}
	return proof.Pack(changed)
}

// resigned makes a manifest whose sums are those of the files.
func resigned(e *estate, files []proof.Packed) []proof.Packed {
	e.Helper()
	var m proof.Manifest
	if err := json.Unmarshal([]byte(content(files, "manifest.json")), &m); err != nil {
		e.Fatal(err)
	}
	m.Files = nil
	for _, f := range files[2:] {
		m.Files = append(m.Files, proof.Sum(f))
	}
	text, err := proof.EncodeManifest(&m)
	if err != nil {
		e.Fatal(err)
	}
	files[0].Content, files[1].Content = text, []byte(sign(e, e.key, string(text)))
	return files
}

func sign(e *estate, k *seal.Key, manifest string) string {
	e.Helper()
	signed, err := k.Sign(proof.ManifestText([]byte(manifest)))
	if err != nil {
		e.Fatal(err)
	}
	return string(signed)
}

func content(files []proof.Packed, name string) string {
	return string(files[slices.IndexFunc(files, func(f proof.Packed) bool { return f.Name == name })].Content)
}

// inFile changes the first file of that ending, which must change.
func inFile(ending string, change func(string) string) func(*estate, []proof.Packed) []proof.Packed {
	return func(e *estate, files []proof.Packed) []proof.Packed {
		for i, f := range files {
			if strings.HasSuffix(f.Name, ending) {
				was := string(f.Content)
				if files[i].Content = []byte(change(was)); string(files[i].Content) == was {
					e.Fatalf("%s did not change", f.Name)
				}
				return files
			}
		}
		e.Fatalf("no file %s", ending)
		return nil
	}
}

func both(a, b func(*estate, []proof.Packed) []proof.Packed) func(*estate, []proof.Packed) []proof.Packed {
	return func(e *estate, files []proof.Packed) []proof.Packed { return b(e, a(e, files)) }
}

func line(s string, i int) string { return strings.SplitAfter(s, "\n")[i] }

func after(s string, i int) string { return strings.Join(strings.SplitAfter(s, "\n")[i:], "") }

func withoutLine(s string, i int) string {
	lines := strings.SplitAfter(s, "\n")
	return strings.Join(slices.Delete(lines, i, i+1), "")
}

func swapped(s string, i, j int) string {
	lines := strings.SplitAfter(s, "\n")
	lines[i], lines[j] = lines[j], lines[i]
	return strings.Join(lines, "")
}

func doubled(s string) string { return line(s, 0) + s }

// withoutOpen drops the second disclosed record from the list.
func withoutOpen(s string) string {
	n := 0
	for i, l := range strings.SplitAfter(s, "\n") {
		if l != "" && !strings.HasSuffix(l, " -\n") {
			if n++; n == 2 {
				return withoutLine(s, i)
			}
		}
	}
	return s
}
