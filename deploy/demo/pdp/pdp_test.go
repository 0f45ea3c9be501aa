package pdp_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/collector/opa"
	"github.com/custody-audit/custody/deploy/demo/pdp"
	"github.com/custody-audit/custody/schemas/event"
)

// log is a collector that keeps the decision log entries it acknowledged.
type log struct {
	*httptest.Server
	mu      sync.Mutex
	entries []json.RawMessage // guarded by mu
	refuse  int               // uploads to answer 503; guarded by mu
	keys    map[string]bool   // guarded by mu
}

func newLog(t *testing.T) *log {
	t.Helper()
	l := &log{keys: map[string]bool{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		z, err := gzip.NewReader(r.Body)
		if err != nil || r.URL.Path != opa.Path {
			http.Error(w, "want a gzipped upload", http.StatusBadRequest)
			return
		}
		body, err := io.ReadAll(z)
		var entries []json.RawMessage
		if err != nil || json.Unmarshal(body, &entries) != nil {
			http.Error(w, "want an array", http.StatusBadRequest)
			return
		}
		l.keys[r.Header.Get("Authorization")] = true
		if l.refuse > 0 {
			l.refuse--
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		l.entries = append(l.entries, entries...)
	}))
	t.Cleanup(l.Close)
	return l
}

func newEngine(t *testing.T, l *log, every time.Duration) *pdp.Engine {
	t.Helper()
	e, err := pdp.New(t.Context(), pdp.Config{
		Tenant: "acme", CollectorURL: l.URL, Key: "cst_test", UploadEvery: every, Logger: slog.New(slog.DiscardHandler),
		Rules: map[string]map[string]pdp.Rule{"github-mcp": {
			"search_issues":     {Scope: []string{"repo:read"}},
			"delete_repository": {Scope: []string{"repo:write"}, HumanOnly: true},
			"deploy":            {Actors: []string{"deployer"}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func ask(tool, actor string, scope ...string) pdp.Question {
	q := pdp.Question{
		Subject: event.Party{Iss: "https://sts.acme.example", Sub: "alice", Type: event.Human},
		Server:  event.Server{ID: "github-mcp", URI: "https://github-mcp.acme.example/mcp"}, Tool: tool,
		Token:       event.Token{Ref: event.TokenRef("t"), JTI: "j", Scope: scope},
		Correlation: event.Correlation{TraceID: strings.Repeat("a", 32), JSONRPCID: "7", TaskID: "task-1", TransactionID: "txn-1"},
	}
	if actor != "" {
		q.Actor = event.Party{Iss: q.Subject.Iss, Sub: actor, Type: event.Agent}
	}
	return q
}

func TestPolicy(t *testing.T) {
	l := newLog(t)
	e := newEngine(t, l, time.Hour)
	check := func(q pdp.Question, allow bool, reason string) {
		t.Helper()
		d, err := e.Decide(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if d.Allow != allow || d.Reason != reason || d.ID == "" {
			t.Errorf("%s by %q: got %+v, want %v %q", q.Tool, q.Actor.Sub, d, allow, reason)
		}
	}
	check(ask("search_issues", "planner", "repo:read"), true, "")
	check(ask("search_issues", "planner"), false, "insufficient_scope: repo:read")
	check(ask("delete_repository", "planner", "repo:write"), false, "a human must do this, not an agent")
	check(ask("delete_repository", "", "repo:write"), true, "")
	check(ask("deploy", "planner"), false, "planner is not among the actors of this tool")
	check(ask("deploy", "deployer"), true, "")
	check(ask("format_disk", "planner"), false, "tool is not in the catalogue")
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What OPA uploads must be understood by the product's own parser.
func TestDecisionLogReachesTheCollector(t *testing.T) {
	l := newLog(t)
	e := newEngine(t, l, time.Hour)
	q := ask("delete_repository", "planner", "repo:write")
	d, err := e.Decide(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(l.entries) != 1 || e.Made() != 1 {
		t.Fatalf("%d entries uploaded, %d made, want 1", len(l.entries), e.Made())
	}
	events, err := opa.Parse(l.entries[0])
	if err != nil {
		t.Fatal(err)
	}
	got := events[0]
	if got.Decision.ID != d.ID || got.Decision.Effect != event.Deny || got.Decision.Reason != d.Reason || !strings.HasPrefix(got.Decision.PolicyVersion, "mcp@") {
		t.Errorf("decision %+v, want that of %+v", got.Decision, d)
	}
	if got.Subject != q.Subject || got.Actor != q.Actor || got.Server != q.Server || got.Tool.Name != q.Tool || got.Correlation != q.Correlation || got.Token.Ref != q.Token.Ref {
		t.Errorf("the question came back as %s", got.Canonical())
	}
	if !l.keys["Bearer cst_test"] {
		t.Error("the upload did not carry the source's key")
	}
}

func TestCloseWaitsForTheCollector(t *testing.T) {
	l := newLog(t)
	l.refuse = 2
	e := newEngine(t, l, 10*time.Millisecond)
	const callers, each = 5, 100
	var group errgroup.Group
	for range callers {
		group.Go(func() error {
			for range each {
				if _, err := e.Decide(t.Context(), ask("search_issues", "planner", "repo:read")); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if n := callers * each; len(l.entries) != n || e.Made() != n || l.refuse != 0 {
		t.Errorf("%d entries arrived, %d made, want %d; refusals left: %d", len(l.entries), e.Made(), n, l.refuse)
	}
}

func TestCloseSaysWhatIsLost(t *testing.T) {
	l := newLog(t)
	e := newEngine(t, l, time.Hour)
	l.refuse = 1 << 30
	if _, err := e.Decide(t.Context(), ask("search_issues", "planner", "repo:read")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := e.Close(ctx); err == nil {
		t.Error("the collector took nothing, and Close does not mind")
	}
}
