// Package storytest puts the story (schemas/story) into a real ClickHouse as an
// installation would have it: stored, judged, registered and sealed. For tests of what
// answers questions about it.
package storytest

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/privilege"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/processor/verdict"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// Tenants are those of the story.
var Tenants = []string{"acme", "globex", "initech"}

var quiet = slog.New(slog.DiscardHandler)

// Tell stores the story, and more events, with what the detections find in it, a
// registry for each tenant and a record in quarantine for each of the story's.
func Tell(t testing.TB, more ...*event.Event) *embeddedtest.ClickHouse {
	t.Helper()
	tenants := slices.Clone(Tenants)
	for _, e := range more {
		if !slices.Contains(tenants, e.Tenant) {
			tenants = append(tenants, e.Tenant)
		}
	}
	c := embeddedtest.StartClickHouse(t, tenants...)
	c.Store(t, records(more)...)
	judge(t, c)
	for _, tenant := range tenants {
		r := &enrich.Registry{
			Principals: []enrich.Principal{{Sub: "robot-of-" + tenant, Owner: "somebody@" + tenant + ".example"}},
			Servers:    []enrich.Server{{ID: tenant + "-mcp", Owner: "else@" + tenant + ".example"}},
		}
		if _, err := enrich.Store(t.Context(), c.Conn(embedded.Registrar), tenant, r, "test", time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// records are the log: what is told again is a duplicate, and what comes with other
// content a conflict.
func records(more []*event.Event) (out []*table.Record) {
	seen, forged := map[string]bool{}, map[string]bool{}
	add := func(state table.State, e *event.Event) {
		out = append(out, &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: int64(len(out))}, LogTime: e.ObservedTime.Go(),
			State: state, Raw: e.Canonical(), LeafHash: tlog.RecordHash(e.Canonical()), ContentHash: e.ContentHash(), Event: e})
	}
	for _, e := range story.Events() {
		if seen[e.ID] {
			add(table.Duplicate, e)
			continue
		}
		seen[e.ID] = true
		add(table.Stored, e)
		if !forged[e.Tenant] && e.Kind == event.ToolInvocation {
			forged[e.Tenant] = true
			other := story.Named(e.Source.EventID)
			other.Subject.Name, other.Salt = "somebody else", event.NewSalt()
			add(table.Conflict, other)
		}
	}
	for _, e := range more {
		add(table.Stored, e)
	}
	return out
}

// Bury stores a record that is no event behind what Tell stored.
func Bury(t testing.TB, c *embeddedtest.ClickHouse, raw, problem string) {
	t.Helper()
	var n uint64
	if err := c.Conn(embedded.Analyst).QueryRow(t.Context(), "SELECT count() FROM records").Scan(&n); err != nil {
		t.Fatal(err)
	}
	c.Store(t, &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: int64(n)}, LogTime: time.Now(),
		State: table.Malformed, Problem: problem, Raw: []byte(raw), LeafHash: tlog.RecordHash([]byte(raw))})
}

// judge lets the detections and the passes see everything once.
func judge(t testing.TB, c *embeddedtest.ClickHouse) {
	t.Helper()
	rules, err := detect.New(detect.Config{ClickHouse: c.Conn(embedded.Detector), Sessions: c.Sessions(embedded.Detector), Logger: quiet})
	if err == nil {
		_, err = rules.Once(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	pass, err := verdict.New(verdict.Config{ClickHouse: c.Conn(embedded.Detector), Sessions: c.Sessions(embedded.Detector)})
	if err != nil {
		t.Fatal(err)
	}
	privileges, err := privilege.New(privilege.Config{ClickHouse: c.Conn(embedded.Detector)})
	if err != nil {
		t.Fatal(err)
	}
	passes, err := enrich.NewEngine(enrich.EngineConfig{ClickHouse: c.Conn(embedded.Detector), Passes: []enrich.Pass{{Name: "verdicts", Take: pass.Take}, {Name: "privilege", Take: privileges.Take}}, Logger: quiet})
	if err == nil {
		err = passes.Once(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TwoWalls connects a tenant as its own auditor, as an installation does.
func TwoWalls(c *embeddedtest.ClickHouse) api.Connect {
	return func(tenant string) (driver.Conn, error) {
		user := embedded.Analyst
		if tenant != "" {
			user = table.Auditor(tenant)
		}
		if c.Password(user) == "" {
			return nil, api.ErrNoUser
		}
		return embeddedtest.Open(c.Addr(), user, c.Password(user), embeddedtest.Database)
	}
}

// Handler connects as who writes down what is done about findings; the server that
// gets it closes it.
func Handler(t testing.TB, c *embeddedtest.ClickHouse) driver.Conn {
	t.Helper()
	conn, err := embeddedtest.Open(c.Addr(), embedded.Handler, c.Password(embedded.Handler), embeddedtest.Database)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Seal seals what Tell stored; cfg is what bundles are made of, policy what they are
// checked by.
func Seal(t testing.TB, c *embeddedtest.ClickHouse) (cfg *proof.Config, policy string) {
	t.Helper()
	key, err := seal.CreateKey(filepath.Join(t.TempDir(), "key"), "audit.example/custody")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := seal.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.New(seal.Config{ClickHouse: c.Conn(embedded.Writer), Key: key, Folder: folder, Interval: 10 * time.Millisecond, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.Conn(embedded.Analyst).Query(t.Context(), "SELECT raw FROM records ORDER BY offset")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var edge seal.Edge
	for rows.Next() {
		var raw string
		if err := rows.Scan(&raw); err != nil {
			t.Fatal(err)
		}
		edge.Append(tlog.RecordHash([]byte(raw)), nil)
	}
	tree := seal.Tree{Topic: "custody.events", Epoch: "e"}
	sealer.Grown(tree, 0, &edge, nil)
	ctx, stop := context.WithCancel(t.Context())
	stop() // once is enough
	if err := sealer.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if p, err := folder.Tree(tree.Origin(key.Name())); err != nil || p.Checkpoint == nil {
		t.Fatalf("nothing is sealed: %v", err)
	}
	ring, err := folder.Keyring(key.Name(), key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &proof.Config{ClickHouse: c.Conn(embedded.Analyst), Folder: folder, Ring: ring, Key: key, Dir: t.TempDir()}, "log " + key.Verifier() + "\n"
}
