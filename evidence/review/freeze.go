package review

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// Bounds of a review: beyond, it refuses and wants a narrower scope, since one that
// leaves out lines would look like one that has them all.
const (
	MaxLines   = 5000
	MaxSamples = 10
	maxGaps    = 1000
)

// Source is what a review is made from.
type Source struct {
	// ClickHouse and Reader are connections of who sees the tenant; the reader is
	// narrowed to it.
	ClickHouse driver.Conn
	Reader     *query.Reader
}

// Request asks for a review.
type Request struct {
	ID                    uuid.UUID
	Name                  string
	Scope                 Scope
	Now                   time.Time
	CreatedIss, CreatedBy string
}

// setDefaults completes the request and says what is wrong with it.
func (q *Request) setDefaults() error {
	s := &q.Scope
	q.Now = q.Now.UTC().Truncate(time.Microsecond)
	if s.WindowDays == 0 {
		s.WindowDays = int(query.Window / (24 * time.Hour))
	}
	if s.To.IsZero() {
		s.To = q.Now
	}
	if s.From.IsZero() {
		s.From = s.To.AddDate(0, 0, -s.WindowDays)
	}
	s.From, s.To = s.From.UTC().Truncate(time.Microsecond), s.To.UTC().Truncate(time.Microsecond)
	switch {
	case !event.ValidTenant(s.Tenant):
		return fmt.Errorf("%w: a review is of one tenant", ErrInvalid)
	case q.Name == "" || len(q.Name) > MaxName:
		return fmt.Errorf("%w: want a name of at most %d bytes", ErrInvalid, MaxName)
	case s.WindowDays < 1 || s.WindowDays > 3650:
		return fmt.Errorf("%w: window_days %d: want 1 to 3650", ErrInvalid, s.WindowDays)
	case !s.From.Before(s.To) || s.To.After(q.Now):
		return fmt.Errorf("%w: want a period that begins before it ends, and that is over", ErrInvalid)
	}
	return nil
}

// freezing is a review in the making.
type freezing struct {
	Source
	Request
	out    *Review
	owners owners
	rules  map[string]*detect.Rule
	shown  map[string]bool // findings that stand at a line already, by key
}

// Freeze makes a review of what stands now. It writes nothing.
func Freeze(ctx context.Context, from Source, q Request) (*Review, error) {
	if err := q.setDefaults(); err != nil {
		return nil, err
	}
	f := &freezing{Source: from, Request: q, rules: map[string]*detect.Rule{}, shown: map[string]bool{}}
	f.out = &Review{ID: q.ID, Lines: []*Line{}, Acts: []*Act{}, Frozen: Frozen{
		Name: q.Name, Scope: q.Scope, Created: q.Now, CreatedIss: q.CreatedIss, CreatedBy: q.CreatedBy,
		Unowned: []Unowned{}, Decisions: []Decisions{}, Gaps: []Gap{}, NotAssessed: []string{}, Samples: []Sample{},
	}}
	rules, err := detect.Builtin()
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		f.rules[r.ID] = r
	}
	// Checkpoints first: what is told below is at least what they cover.
	for _, step := range []func(context.Context) error{f.checkpoints, f.registered, f.privileges, f.credentials, f.findings, f.order, f.decisions, f.calls, f.gaps, f.samples} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	f.notAssessed()
	head, lines, err := f.out.bodies()
	f.out.Digest = digest(head, lines)
	return f.out, err
}

// registered reads the registry in force.
func (f *freezing) registered(ctx context.Context) error {
	versions, err := enrich.InForce(ctx, f.ClickHouse, f.Scope.Tenant, f.Now)
	if err != nil || len(versions) == 0 || versions[0].Version == "" {
		f.owners = owners{tenant: f.Scope.Tenant}
		return err
	}
	r, err := enrich.Stored(ctx, f.ClickHouse, f.Scope.Tenant, versions[0].Version)
	if err != nil {
		return err
	}
	f.out.Registry = versions[0].Version
	f.owners = owners{tenant: f.Scope.Tenant, snapshot: enrich.NewSnapshot(map[string]*enrich.Registry{f.Scope.Tenant: r})}
	return nil
}

// add takes a line that is in the scope, with its owner and controls.
func (f *freezing) add(l *Line, rules ...string) error {
	l.Owner, l.OwnerOf = f.owners.of(l.Iss, l.Identity, l.Server)
	if f.Scope.Owner != "" && l.Owner != f.Scope.Owner || f.Scope.Server != "" && l.Server != f.Scope.Server {
		return nil
	}
	l.Controls = f.controls(rules)
	for _, list := range []*[]string{&l.Evidence, &l.Findings} {
		if *list == nil {
			*list = []string{}
		}
	}
	if f.out.Lines = append(f.out.Lines, l); len(f.out.Lines) > MaxLines {
		return fmt.Errorf("%w: the review would have more than %d lines: narrow it by owner or server", ErrInvalid, MaxLines)
	}
	return nil
}

// controls of rules together, by framework.
func (f *freezing) controls(rules []string) map[string][]string {
	out := map[string][]string{}
	for _, id := range rules {
		if r := f.rules[id]; r != nil {
			for framework, ids := range r.Controls {
				out[framework] = append(out[framework], ids...)
			}
		}
	}
	for framework := range out {
		slices.SortFunc(out[framework], func(a, b string) int {
			all := detect.Frameworks[framework]
			return slices.Index(all, a) - slices.Index(all, b)
		})
		out[framework] = slices.Compact(out[framework])
	}
	return out
}

// order sorts the lines and counts those without an owner.
func (f *freezing) order(context.Context) error {
	sorted(f.out.Lines)
	missing := map[[2]string]int{}
	for _, l := range f.out.Lines {
		if l.Identity != "" && f.owners.identity(l.Iss, l.Identity) == "" {
			missing[[2]string{"identity", l.Identity}]++
		}
		if l.Server != "" && f.owners.server(l.Server) == "" {
			missing[[2]string{"server", l.Server}]++
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(missing), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		f.out.Unowned = append(f.out.Unowned, Unowned{k[0], k[1], missing[k]})
	}
	return nil
}

// values are the parameters that every query has.
func (f *freezing) values() clickhouse.Parameters {
	return clickhouse.Parameters{"tenant": f.Scope.Tenant, "server": table.Text(f.Scope.Server), "from": table.Micro(f.Scope.From), "to": table.Micro(f.Scope.To)}
}

// inScope narrows events to what a review is about.
const inScope = ` tenant = {tenant:String} AND ({server:String} = '' OR server_id = {server:String})
	AND time >= {from:DateTime64(6, 'UTC')} AND time < {to:DateTime64(6, 'UTC')} AND toStartOfHour(time) >= toStartOfHour({from:DateTime64(6, 'UTC')})`

// each calls row for each row of the answer.
func each(ctx context.Context, conn driver.Conn, sql string, p clickhouse.Parameters, row func(driver.Rows) error) error {
	if err := table.Each(clickhouse.Context(ctx, clickhouse.WithParameters(p)), conn, sql, row); err != nil {
		return fmt.Errorf("read for a review: %w", err)
	}
	return nil
}
