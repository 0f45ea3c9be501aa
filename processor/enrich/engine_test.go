package enrich_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// bench is a real ClickHouse with records in it.
type bench struct {
	testing.TB
	clickhouse *embeddedtest.ClickHouse
	conn       driver.Conn
	offset     int64
}

func newBench(t testing.TB) *bench {
	t.Helper()
	c := embeddedtest.StartClickHouse(t)
	return &bench{TB: t, clickhouse: c, conn: c.Conn(embedded.Detector)}
}

func (b *bench) engine() *enrich.Engine {
	b.Helper()
	e, err := enrich.NewEngine(enrich.EngineConfig{ClickHouse: b.conn, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func (b *bench) once(e *enrich.Engine) {
	b.Helper()
	if err := e.Once(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// store puts events where the processor does.
func (b *bench) store(events ...*event.Event) {
	b.Helper()
	var records []*table.Record
	for _, e := range events {
		records = append(records, &table.Record{
			Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: b.offset}, LogTime: time.Now(), State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e,
		})
		b.offset++
	}
	b.clickhouse.Store(b, records...)
}

func (b *bench) lines(sql string) (out []string) {
	b.Helper()
	rows, err := b.conn.Query(b.Context(), sql)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			b.Fatal(err)
		}
		out = append(out, line)
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	return out
}

// lineages of a tenant: "ref parent root owner depth state missing".
func (b *bench) lineages(tenant string) []string {
	b.Helper()
	return b.lines("SELECT concat(ref, ' ', parent_ref, ' ', root_ref, ' ', root_sub, ' ', toString(depth), ' ', toString(state), ' ', missing) FROM token_lineage WHERE tenant = '" + tenant + "' ORDER BY ref")
}

// What the pass says of the story's tokens is what the chains say, which are
// built by other code from the events themselves.
func TestLineageOfStory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store(story.Events()...)
	b.once(b.engine())
	want := map[string][]string{}
	for _, c := range chain.Build(story.Events()) {
		var parents []*chain.Hop
		c.Root.Walk(func(h *chain.Hop, depth int) {
			parents = append(parents[:depth], h)
			if h.TokenRef == "" || h.Join != "" && h.Join != chain.ByLineage || depth == 0 && len(h.Children) == 0 && h.Missing != nil {
				return // not by an exchange: the pass guesses nothing
			}
			root, parent := parents[0], ""
			for i := depth; i > 0 && parents[i].Join == chain.ByLineage; i-- {
				root = parents[i-1]
			}
			if depth > 0 && h.Join == chain.ByLineage {
				parent = parents[depth-1].TokenRef
			}
			want[c.Tenant] = append(want[c.Tenant], fmt.Sprintf("%s %s %s %s", h.TokenRef, parent, root.TokenRef, root.Subject.Sub))
		})
	}
	for tenant, list := range want {
		got := b.lines("SELECT concat(ref, ' ', parent_ref, ' ', root_ref, ' ', root_sub) FROM token_lineage WHERE tenant = '" + tenant + "'")
		slices.Sort(list)
		slices.Sort(got)
		if diff := gocmp.Diff(list, got); diff != "" {
			t.Errorf("%s (-chains +pass):\n%s", tenant, diff)
		}
	}
	if len(want) != 3 {
		t.Errorf("%d tenants", len(want))
	}
}

// family is a tenant with logins, exchanges upon exchanges, and calls.
func family(tenant string, rng *rand.Rand, roots, exchanges int) (events []*event.Event) {
	refs, depth := []string{}, map[string]int{}
	ref := func(n int) string { return event.TokenRef(fmt.Sprintf("token %d", n)) }
	at := event.TimeOf(time.Now()).Add(-time.Hour)
	add := func(e *event.Event) {
		at = at.Add(time.Millisecond)
		e.Time, e.ObservedTime, e.Tenant, e.SchemaVersion, e.Outcome = at, at, tenant, event.SchemaVersion, event.Success
		e.Source = event.Source{ID: "s", Type: "native", EventID: fmt.Sprint(len(events))}
		e.ID = event.NewID(tenant, "s", e.Source.EventID, e.Time)
		events = append(events, e)
	}
	for n := range roots {
		refs = append(refs, ref(n))
		add(&event.Event{Kind: event.Credential, Type: event.TypeCredentialIssued, Subject: event.Party{Sub: fmt.Sprint("human-", n)}, Token: event.Token{Ref: ref(n)}})
	}
	for n := range exchanges {
		of := refs[rng.IntN(len(refs))]
		issued := ref(roots + n)
		refs, depth[issued] = append(refs, issued), depth[of]+1
		add(&event.Event{Kind: event.TokenExchange, Type: event.TypeTokenExchange, Subject: event.Party{Sub: "whoever"}, Actor: event.Party{Sub: "agent"},
			Exchange: event.Exchange{SubjectTokenRef: of, IssuedTokenRef: issued}})
	}
	return events
}

// Events that come late and out of order, one round or many, lead to the same
// lineage, and what is not known yet says so.
func TestLineageLate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rng := rand.New(rand.NewPCG(1, 1))
	inOrder := family("order", rng, 5, 120)
	late := family("late", rand.New(rand.NewPCG(1, 1)), 5, 120)
	rng.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
	b.store(inOrder...)
	e := b.engine()
	pending := false
	for part := range slices.Chunk(late, 9) {
		b.store(part...)
		b.once(e)
		pending = pending || slices.ContainsFunc(b.lineages("late"), func(s string) bool { return strings.Contains(s, " pending no event says yet") })
		if rng.IntN(4) == 0 {
			e = b.engine() // killed, and another goes on
		}
	}
	if !pending {
		t.Error("nothing was pending on the way")
	}
	got, want := b.lineages("late"), b.lineages("order")
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-in order +late):\n%s", diff)
	}
	if len(got) != 125 || slices.ContainsFunc(got, func(s string) bool { return !strings.Contains(s, " complete ") }) {
		t.Errorf("%d lineages:\n%s", len(got), strings.Join(got, "\n"))
	}
	before := b.lines("SELECT toString(count()) FROM token_lineage_states")
	b.once(b.engine())
	if after := b.lines("SELECT toString(count()) FROM token_lineage_states"); after[0] != before[0] {
		t.Errorf("an engine that begins anew wrote %s rows where nothing is new", after[0])
	}
}

// A token that was exchanged ten thousand times before its own issue is heard
// of: all that descends from it is computed again, in one round.
func TestLineageFanOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const n = 10_000
	all := family("t", rand.New(rand.NewPCG(2, 2)), 1, 0)
	root := all[0].Token.Ref
	for i := range n {
		e := *all[0]
		e.Kind, e.Type, e.Token = event.TokenExchange, event.TypeTokenExchange, event.Token{}
		e.Source.EventID = fmt.Sprint("x", i)
		e.ID = event.NewID(e.Tenant, "s", e.Source.EventID, e.Time)
		e.Exchange = event.Exchange{SubjectTokenRef: root, IssuedTokenRef: event.TokenRef(fmt.Sprint("x", i))}
		all = append(all, &e)
	}
	b.store(all[1:]...)
	e := b.engine()
	b.once(e)
	if got := b.lines("SELECT concat(toString(state), ' ', toString(max(depth)), ' ', toString(count())) FROM token_lineage GROUP BY state"); !slices.Equal(got, []string{fmt.Sprintf("pending 1 %d", n+1)}) {
		t.Errorf("before the issue is heard of: %v", got)
	}
	b.store(all[0])
	began := time.Now()
	b.once(e)
	if got := b.lines("SELECT concat(toString(state), ' ', root_sub, ' ', toString(count())) FROM token_lineage GROUP BY state, root_sub"); !slices.Equal(got, []string{fmt.Sprintf("complete human-0 %d", n+1)}) {
		t.Errorf("afterwards: %v", got)
	}
	t.Logf("%d tokens computed again in %s", n+1, time.Since(began))
}

// Engines that run beside each other, while events come, end with what one of
// them computes of everything.
func TestEnginesTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	inOrder := family("order", rand.New(rand.NewPCG(3, 3)), 3, 150)
	mixed := family("mixed", rand.New(rand.NewPCG(3, 3)), 3, 150)
	rand.New(rand.NewPCG(4, 4)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	ctx, stop := context.WithCancel(t.Context())
	var engines sync.WaitGroup
	for range 3 {
		e := b.engine()
		engines.Go(func() {
			for ctx.Err() == nil {
				if err := e.Once(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for part := range slices.Chunk(mixed, 10) {
		b.store(part...)
	}
	b.store(inOrder...)
	stop()
	engines.Wait()
	b.once(b.engine())
	if diff := gocmp.Diff(b.lineages("order"), b.lineages("mixed")); diff != "" {
		t.Errorf("(-in order +mixed):\n%s", diff)
	}
}

// Who was seen with what since when does not depend on the order of the events,
// nor on how often they are taken in.
func TestFirstSeen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	events := story.Events()
	b.store(events...)
	b.once(b.engine())
	const query = `SELECT concat(toString(what), ': ', sub, ' ', arrayStringConcat(object, ' > '), ' ', toString(first_time), ' ', toString(first_event_id), ' ', toString(last_time)) AS line FROM first_seen ORDER BY line`
	want := b.lines(query)

	other := newBench(t)
	rng := rand.New(rand.NewPCG(5, 5))
	rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for part := range slices.Chunk(events, 7) {
		other.store(part...)
		other.once(other.engine()) // which begins at the watermark, less what may become visible late
	}
	if diff := gocmp.Diff(want, other.lines(query)); diff != "" {
		t.Errorf("(-at once +in parts):\n%s", diff)
	}
	call := story.Named("deploy-call")
	said := strings.Join(want, "\n")
	for _, line := range []string{
		"tool: github-mcp deploy-mcp > deploy_service 2026-10-05 09:00:", "server: github-mcp deploy-mcp 2026-10-05 09:00:",
		"path: github-mcp alice@https://idp.acme.example > planner@https://idp.acme.example > github-mcp@https://idp.acme.example ", "issuer: planner https://idp.acme.example ",
		"client: planner planner > ", " " + call.ID + " ",
	} {
		if !strings.Contains(said, line) {
			t.Errorf("no %q in\n%s", line, said)
		}
	}
}
