package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/custody-audit/custody/processor/seal"
)

// ErrUnreadable says that something is no bundle, or cannot be judged with what
// was given: neither intact nor tampered with.
var ErrUnreadable = errors.New("unreadable")

// Report is what a verifier found.
type Report struct {
	Intact   bool      `json:"intact"`
	Class    Class     `json:"class,omitempty"` // of the first problem
	Problems []Problem `json:"problems"`

	Log         string       `json:"log,omitempty"`
	Signer      string       `json:"signer,omitempty"` // of the manifest
	Query       string       `json:"query"`
	Tenant      string       `json:"tenant"`
	After       string       `json:"after,omitempty"`
	Before      string       `json:"before,omitempty"`
	Events      uint64       `json:"events"` // disclosed and proven
	Unwitnessed bool         `json:"unwitnessed"`
	Trees       []TreeReport `json:"trees"`
	NotProven   []string     `json:"not_proven"`
}

// TreeReport is what was verified of one tree.
type TreeReport struct {
	Origin    string   `json:"origin"`
	Size      uint64   `json:"size"`
	Events    uint64   `json:"events"`
	Witnesses []string `json:"witnesses"` // of the policy; none is unwitnessed
	From      uint64   `json:"from,omitempty"`
	Closed    string   `json:"closed,omitempty"` // why the tree ended
	Range     *Range   `json:"range,omitempty"`
}

// verifier reads one bundle.
type verifier struct {
	policy *Policy
	known  [][]byte
	report *Report

	manifest  Manifest
	raw, note []byte // of the manifest
	rotations [][]byte
	opened    bool
	ring      *seal.Keyring
	newest    map[string]seal.Checkpoint // that are known, by origin
	seen      map[string]*entry
	next      int               // in the manifest's files
	tree      int               // whose files are read
	parts     map[string][]byte // of them, but for events
	unjudged  []string

	want   func(seal.Tree, uint64) bool // what visit is called with
	visit  func(*Extracted) error       // nil: nothing is extracted
	kept   map[span]Hash                // hashes of the tree; nil where no proof is asked for
	failed error                        // of visit
}

// Verify judges a bundle by a policy. known are checkpoints of the log that the
// caller has from elsewhere: the bundle must have at least as much as those, and
// agree with them. It reads from front to end and holds the leaves of one tree,
// no events. An error wraps ErrUnreadable, or is one of reading.
func Verify(r io.Reader, policy *Policy, known [][]byte) (*Report, error) {
	return newVerifier(policy, known).run(r)
}

func newVerifier(policy *Policy, known [][]byte) *verifier {
	return &verifier{policy: policy, known: known, seen: map[string]*entry{}, tree: -1,
		report: &Report{Problems: []Problem{}, Trees: []TreeReport{}, NotProven: NotProven}}
}

func (v *verifier) run(r io.Reader) (*Report, error) {
	err := v.read(newArchive(r))
	switch {
	case errors.Is(err, errStop):
	case errors.Is(err, io.ErrUnexpectedEOF):
		v.problem(Truncated, "", "the file ends early")
	case errors.Is(err, errForm):
		v.problem(Content, "", "%v", err)
	case err != nil:
		return nil, err
	}
	if len(v.report.Problems) > 0 {
		v.report.Class = v.report.Problems[0].Class
	}
	v.report.Intact = len(v.report.Problems) == 0
	if v.report.Intact && len(v.unjudged) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrUnreadable, strings.Join(v.unjudged, "; "))
	}
	return v.report, nil
}

// errStop ends the reading where what follows could not be judged.
var errStop = errors.New("stop")

// maxProblems bounds a report: who made the bundle chooses how many it has.
const maxProblems = 10_000

func (v *verifier) problem(c Class, origin, format string, args ...any) {
	v.add(Problem{Class: c, Origin: origin, Detail: fmt.Sprintf(format, args...)})
}

func (v *verifier) at(c Class, origin string, offset uint64, detail string) {
	v.add(Problem{c, origin, &offset, detail})
}

func (v *verifier) add(p Problem) {
	switch n := len(v.report.Problems); {
	case n < maxProblems:
		v.report.Problems = append(v.report.Problems, p)
	case n == maxProblems:
		v.report.Problems = append(v.report.Problems, Problem{Class: p.Class, Detail: fmt.Sprintf("there are more than %d problems; no more are listed", maxProblems)})
	}
}

func (v *verifier) read(a *archive) error {
	for first := true; ; first = false {
		name, body, err := a.next()
		if first && (err != nil || name != fileManifest) {
			return fmt.Errorf("%w: it is no bundle of format %s", ErrUnreadable, Format)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := v.file(a, name, body); err != nil {
			return err
		}
	}
	if err := v.open(); err != nil {
		return err
	}
	if err := a.end(); err != nil {
		return err
	}
	v.complete()
	return nil
}

// file reads one file.
func (v *verifier) file(a *archive, name string, body io.Reader) error {
	if v.seen[name] != nil {
		v.problem(Duplicate, "", "the file %q is there twice", name)
		return errStop
	}
	i, part := treeFile(name)
	tree := i >= 0
	if tree || name != fileManifest && name != fileNote && !strings.HasPrefix(name, "rotations/") {
		if err := v.open(); err != nil {
			return err
		}
		v.inOrder(name)
	}
	if tree && i != v.tree {
		v.tree, v.parts = i, map[string][]byte{}
	}
	if tree && part == fileEvents && i < len(v.manifest.Trees) {
		v.checkTree(i, body)
	} else if err := v.keep(name, part, body); err != nil {
		return err
	}
	e, err := a.check()
	if err != nil {
		return err
	}
	v.seen[name] = &entry{name: e.name, size: e.size, sum: e.sum}
	return nil
}

// keep takes the content of a file that is not events.
func (v *verifier) keep(name, part string, body io.Reader) error {
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	switch {
	case name == fileManifest:
		v.raw = content
	case name == fileNote:
		v.note = content
	case v.parts != nil && part != "":
		v.parts[part] = content
	default:
		v.rotations = append(v.rotations, content)
	}
	return nil
}

// treeFile takes the name of a tree's file apart; -1 is another.
func treeFile(name string) (tree int, part string) {
	rest, ok := strings.CutPrefix(name, "trees/")
	number, part, _ := strings.Cut(rest, "/")
	i, err := strconv.Atoi(number)
	if !ok || err != nil || i < 0 || treeName(i, part) != name {
		return -1, ""
	}
	return i, part
}

// inOrder says where files are others than the signed manifest lists.
func (v *verifier) inOrder(name string) {
	files := v.manifest.Files
	at := slices.IndexFunc(files[min(v.next, len(files)):], func(f File) bool { return f.Name == name })
	switch {
	case at >= 0:
		v.next += at + 1 // what is between is missed in the end
	case slices.ContainsFunc(files, func(f File) bool { return f.Name == name }):
		v.problem(Reordered, "", "the file %q stands in another place", name)
	default:
		v.problem(Content, "", "the file %.100q does not belong here", name)
	}
}

// open judges the manifest, as soon as the rotations are read: nothing else counts
// when the log did not sign it.
func (v *verifier) open() error {
	if v.opened {
		return nil
	}
	v.opened = true
	m := &v.manifest
	var of struct{ Log string } // nothing more of it is unpacked before its signature is known to be good
	if err := json.Unmarshal(v.raw, &of); err != nil {
		v.problem(Signature, "", "the manifest is not what was signed: it cannot be read")
		return errStop
	}
	m.Log = of.Log
	trusted, ok := v.policy.logs[m.Log]
	if !ok {
		v.problem(Signature, "", "the policy does not name the log %q", m.Log)
		return errStop
	}
	var rotations []*seal.Rotation
	for _, signed := range v.rotations {
		r, err := seal.ParseRotation(signed)
		if err != nil {
			v.problem(Signature, "", "%v", err)
			return errStop
		}
		rotations = append(rotations, r)
	}
	var err error
	if v.ring, err = seal.NewKeyring(m.Log, trusted, rotations); err != nil {
		v.problem(Fork, "", "%v", err)
		return errStop
	}
	if v.report.Signer, err = v.signer(); err != nil {
		v.problem(Signature, "", "the manifest: %v", err)
		return errStop
	}
	if err := json.Unmarshal(v.raw, m); err != nil {
		v.problem(Signature, "", "the manifest is not what was signed: it cannot be read")
		return errStop
	}
	if m.Format != Format {
		return fmt.Errorf("%w: it has the format %q, this program reads %s", ErrUnreadable, m.Format, Format)
	}
	v.next = slices.IndexFunc(m.Files, func(f File) bool { return !strings.HasPrefix(f.Name, "rotations/") })
	if v.next < 0 {
		v.next = len(m.Files)
	}
	r := v.report
	r.Log, r.Query, r.Tenant, r.After, r.Before = m.Log, m.Query, m.Tenant, m.After, m.Before
	return v.openKnown()
}

// signer verifies the signature of the manifest, of the log or of a key for reports.
func (v *verifier) signer() (string, error) {
	text := manifestText(v.raw)
	if !oneSignature(v.note, text) {
		return "", errors.New("its signature is that of another, or not in its one form")
	}
	if _, err := v.ring.Open(v.note); err == nil {
		return v.ring.Log(), nil
	}
	n, err := note.Open(v.note, note.VerifierList(v.policy.reports...))
	if err != nil {
		return "", fmt.Errorf("no key of the policy signed it: %w", err)
	}
	if !strings.HasSuffix(string(v.note), n.Sigs[0].Base64+"\n") || !isStrict(n.Sigs[0].Base64) {
		return "", errors.New("its signature is not in its one form")
	}
	return n.Sigs[0].Name, nil
}

func isStrict(text string) bool {
	_, err := encoding.DecodeString(text)
	return err == nil
}

// openKnown verifies what the caller knows.
func (v *verifier) openKnown() error {
	v.newest = map[string]seal.Checkpoint{}
	for _, signed := range v.known {
		origin, _, _ := strings.Cut(string(signed), "\n")
		if log, _, err := seal.ParseOrigin(origin); err == nil && log != v.manifest.Log {
			continue // of another log
		}
		c, _, err := v.ring.OpenCheckpoint(signed)
		if err != nil {
			return fmt.Errorf("%w: the latest known checkpoint: %w", ErrUnreadable, err)
		}
		old, ok := v.newest[c.Origin]
		if ok && old.Size == c.Size && old.Root != c.Root {
			v.problem(Fork, c.Origin, "two of the latest known checkpoints have %d records and different roots", c.Size)
		}
		if !ok || c.Size > old.Size {
			v.newest[c.Origin] = c
		}
	}
	return nil
}

// complete checks what can be said in the end: that every file of the manifest
// was there, as it was signed, and every tree that is known.
func (v *verifier) complete() {
	m := &v.manifest
	if len(v.report.Trees) < len(m.Trees) && len(v.report.Problems) == 0 {
		v.problem(Dropped, "", "the bundle has %d trees of %d", len(v.report.Trees), len(m.Trees))
	}
	listed := map[string]bool{fileManifest: true, fileNote: true}
	for _, f := range m.Files {
		listed[f.Name] = true
		e := v.seen[f.Name]
		if e == nil {
			v.problem(Dropped, "", "the file %q is missing", f.Name)
			continue
		}
		if got := e.file(); got != f {
			v.problem(Content, "", "the file %q is not the one that was signed", f.Name)
		}
	}
	for name := range v.seen {
		if !listed[name] {
			v.problem(Content, "", "the file %.100q is not in the manifest", name)
		}
	}
	for _, t := range v.report.Trees {
		v.report.Events += t.Events
		v.report.Unwitnessed = v.report.Unwitnessed || len(t.Witnesses) == 0
	}
	if v.report.Events != m.Events && len(v.report.Problems) == 0 {
		v.problem(Dropped, "", "%d events are proven, the manifest says %d", v.report.Events, m.Events)
	}
	if m.After == "" && m.Before == "" {
		return
	}
	for origin := range v.newest {
		if !slices.ContainsFunc(m.Trees, func(t TreePart) bool { return t.Origin == origin }) {
			v.problem(Dropped, origin, "a bundle of a time has to say of every tree what it has, and says nothing of this one")
		}
	}
}
