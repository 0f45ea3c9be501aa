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
	"time"

	"filippo.io/torchwood"
	"github.com/segmentio/kafka-go"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/story"
)

// A tenant's events are taken away and proven, alone and with all that lies
// between them, and again after the log has grown.
func TestBundle(t *testing.T) {
	e := newEstate(t, true)
	e.send(story.Events()...)
	bundle := e.export(e.request("tenant:acme", ""))
	r := e.intact(bundle)
	if want := count(e, "tenant = 'acme'"); r.Events != want || r.Unwitnessed || r.Signer != logName {
		t.Errorf("%d events of %d, unwitnessed %v, signed by %s", r.Events, want, r.Unwitnessed, r.Signer)
	}
	if again := e.export(e.request("tenant:acme", "")); !bytes.Equal(bundle, again) {
		t.Error("the same request gave other bytes")
	}
	for i, ev := range events(t, bundle) {
		single := unpack(t, bundle) // has a proof for each
		proofs := slices.DeleteFunc(single, func(f proof.Packed) bool { return !strings.HasSuffix(f.Name, ".tlog-proof") })
		if err := torchwood.VerifyProof(e.torchwoodPolicy(origin(proofs[i].Content)), tlog.RecordHash([]byte(ev)), proofs[i].Content); err != nil {
			t.Errorf("%s: torchwood: %v", proofs[i].Name, err)
		}
		if !strings.Contains(ev, `"tenant":"acme"`) {
			t.Errorf("disclosed: %s", ev)
		}
	}
}

// A range accounts for every record in it, and discloses one tenant's only.
func TestRange(t *testing.T) {
	e := newEstate(t, false)
	e.send(story.Events()...)
	e.sendRaw(kafka.Message{Key: []byte("x"), Value: []byte("no event")})
	whole := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + "/" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	bundle := e.export(e.request("kind:tool_invocation", "initech", whole))
	r := e.intact(bundle)
	var records, disclosed, others, rest, none uint64
	for _, tree := range r.Trees {
		records, disclosed, others = records+tree.Range.To-tree.Range.From, disclosed+tree.Range.Disclosed, others+tree.Range.OtherTenants
		rest, none = rest+tree.Range.NotMatched, none+tree.Range.NoEvent
	}
	if records != uint64(e.sent) || disclosed != count(e, "tenant = 'initech' AND kind = 'tool_invocation'") || others != count(e, "tenant != 'initech'") ||
		rest != count(e, "tenant = 'initech' AND kind != 'tool_invocation'") || none != 2 {
		t.Errorf("of %d records: %d disclosed, %d of others, %d not asked for, %d no event: %+v", e.sent, disclosed, others, rest, none, r.Trees)
	}
	for _, ev := range story.Events() {
		if ev.Tenant != "initech" && (bytes.Contains(bundle, []byte(ev.ID)) || bytes.Contains(bundle, []byte(ev.Salt))) {
			t.Errorf("something of %s is in it", ev.Tenant)
		}
	}
	trees := r.Trees
	if r := verify(t, e.export(e.request("", "", "0:3-9")), policy(t, e.policyText())); !r.Intact || len(r.Trees) != 1 || r.Events != 6 || *r.Trees[0].Range != (proof.Range{From: 3, To: 9, Disclosed: 6}) {
		t.Errorf("%+v", r)
	}
	// A time in which nothing came names every tree, and one that is left out is missed.
	quiet := e.export(e.request("", "", "2020-01-01T00:00:00Z/2020-01-02T00:00:00Z"))
	if r := e.intact(quiet, checkpoints(t, bundle)...); r.Events != 0 || len(r.Trees) != len(trees) {
		t.Errorf("%+v", r)
	}
	var m proof.Manifest
	files := unpack(t, quiet)
	if err := json.Unmarshal(files[0].Content, &m); err != nil {
		t.Fatal(err)
	}
	m.Trees = m.Trees[:1]
	files = slices.DeleteFunc(files, func(f proof.Packed) bool { return strings.HasPrefix(f.Name, "trees/1/") })
	files[0].Content, _ = proof.EncodeManifest(&m)
	if r := verify(t, proof.Pack(resigned(e, files)), policy(t, e.policyText()), checkpoints(t, bundle)...); r.Class != proof.Dropped {
		t.Errorf("a tree that is known is left out: %+v", r.Problems)
	}
	if _, _, err := e.try(e.request("", "", "7:3-9"), e.key); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("a partition that is not there: %v", err)
	}
}

// What was changed in ClickHouse is not exported.
func TestExportOfTampered(t *testing.T) {
	e := newEstate(t, false)
	e.send(story.Events()...)
	for _, statement := range []string{
		"ALTER TABLE records UPDATE raw = replaceOne(raw, 'outcome', 'outcomE') WHERE partition = 0 AND offset = 4",
		"ALTER TABLE records DELETE WHERE partition = 1 AND offset = 7",
		"INSERT INTO records SELECT * FROM records WHERE partition = 1 AND offset = 9",
	} {
		if strings.HasPrefix(statement, "ALTER") {
			statement += " SETTINGS mutations_sync = 2"
		}
		if err := e.admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []string{"0:3-9", "1:5-8", "1:9-10"} {
		if _, _, err := e.try(e.request("", "", at), e.key); err == nil || !strings.Contains(err.Error(), "custody reconcile") && !strings.Contains(err.Error(), "not stored") {
			t.Errorf("range %s: %v", at, err)
		}
	}
}

func count(e *estate, where string) (n uint64) {
	e.Helper()
	if err := e.admin.QueryRow(e.Context(), "SELECT count() FROM events WHERE "+where).Scan(&n); err != nil {
		e.Fatal(err)
	}
	return n
}

// events reads those of a bundle as any zip program does.
func events(t testing.TB, bundle []byte) (lines []string) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, "events.ndjson") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}
