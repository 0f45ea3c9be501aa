package query

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/event"
)

// MaxPage bounds one page of a search.
const MaxPage = 10_000

// Page is one page of events, newest first.
type Page struct {
	Events []*event.Event `json:"events"`
	// Facts are those of each event, in the same order.
	Facts []Facts `json:"facts"`
	// Next continues behind the last event; empty at the end.
	Next string `json:"next,omitempty"`
}

// Row is an event as it is stored.
type Row struct {
	Event *event.Event
	Facts Facts
	Raw   []byte // the exact bytes of the log, which the seal is about
}

// Search returns up to limit events that pass the filter, newest first, after
// the place that an earlier page named.
func (r *Reader) Search(ctx context.Context, f *Filter, limit int, after string) (*Page, error) {
	if limit < 1 || limit > MaxPage {
		return nil, fmt.Errorf("limit %d: want 1 to %d", limit, MaxPage)
	}
	page := &Page{}
	err := r.page(ctx, f, limit, after, func(row *Row) error {
		page.Events, page.Facts = append(page.Events, row.Event), append(page.Facts, row.Facts)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(page.Events) == limit {
		page.Next = page.Events[limit-1].ID
	}
	return page, nil
}

// eachPage is how many events Each asks for at a time.
const eachPage = 5000

// Each calls visit with every event that passes the filter, newest first, up to
// limit; 0 is no limit. Events that are stored meanwhile may be among them or
// not. It returns how many there were.
func (r *Reader) Each(ctx context.Context, f *Filter, limit int, visit func(*Row) error) (n int, err error) {
	for after := ""; ; {
		size := eachPage
		if limit > 0 {
			size = min(size, limit-n)
		}
		if size == 0 {
			return n, nil
		}
		got := 0
		err := r.page(ctx, f, size, after, func(row *Row) error {
			got, after = got+1, row.Event.ID
			return visit(row)
		})
		n += got
		if err != nil || got < size {
			return n, err
		}
	}
}

func (r *Reader) page(ctx context.Context, f *Filter, limit int, after string, visit func(*Row) error) error {
	where, values, end := append([]string{tenant}, f.where...), maps.Clone(f.values), f.now
	if !f.to.IsZero() && f.to.Before(end) {
		end = f.to
	}
	if after != "" {
		at, err := event.IDTime(after)
		if err != nil {
			return fmt.Errorf("page %w", err)
		}
		// The id begins with the time in milliseconds, so the pair is a total order.
		where = append(where, "(toUnixTimestamp64Milli(time), id) < (toInt64({after_ms:String}), toUUID({after:String}))")
		values["after"], values["after_ms"] = after, fmt.Sprint(int64(at)/1000)
		if at.Go().Before(end) {
			end = at.Go()
		}
	}
	// What is stored is not in order of time, so the newest would be looked for in all of
	// it: look at the newest hour first, and as far back again as what it held suggests.
	var until time.Time // which is looked through; zero: nothing is
	for back := time.Hour; ; {
		since := end.Add(-back).Truncate(time.Second)
		if back > aYear || !since.After(f.from) {
			since = time.Time{} // all that is left
		}
		n, err := r.between(ctx, where, values, since, until, limit, visit)
		if limit -= n; err != nil || limit == 0 || since.IsZero() {
			return err
		}
		switch {
		case n > 0:
			until, back = since, back*time.Duration(min(2+2*limit/n, 100))
		case back == time.Hour:
			back *= 24
		default: // hardly anything passes: what was looked at is a small part
			back = aYear + 1
		}
	}
}

const aYear = 365 * 24 * time.Hour

// between is the part of a page from since on and before until; zero is no bound.
func (r *Reader) between(ctx context.Context, where []string, values parameters, since, until time.Time, limit int, visit func(*Row) error) (n int, err error) {
	where, values = slices.Clone(where), maps.Clone(values)
	values["limit"] = strconv.Itoa(limit)
	if !since.IsZero() {
		where = append(where, "time >= fromUnixTimestamp64Second({since:Int64}, 'UTC')")
		values["since"] = strconv.FormatInt(since.Unix(), 10)
	}
	if !until.IsZero() {
		where = append(where, "time < fromUnixTimestamp64Second({until:Int64}, 'UTC')")
		values["until"] = strconv.FormatInt(until.Unix(), 10)
	}
	err = r.rows(ctx, "SELECT raw, "+factColumns+" FROM events WHERE "+strings.Join(where, " AND ")+
		" ORDER BY toUnixTimestamp64Milli(time) DESC, id DESC LIMIT {limit:UInt32}", values, func(rows driver.Rows) error {
		n++
		var raw string
		row := &Row{}
		if err := rows.Scan(append([]any{&raw}, row.Facts.fields()...)...); err != nil {
			return err
		}
		row.Raw = []byte(raw)
		var err error
		if row.Event, _, err = event.DecodeLenient(row.Raw); err != nil {
			return fmt.Errorf("stored event: %w", err)
		}
		return visit(row)
	})
	return n, err
}

// Facts is what was known of an event when it was stored: who answers for those
// in it, by the registry of that time, and what the checks said.
type Facts struct {
	RegistryVersion string `json:"registry_version,omitempty"`
	SubjectOwner    string `json:"subject_owner,omitempty"`
	ActorOwner      string `json:"actor_owner,omitempty"`
	ActorLifecycle  string `json:"actor_lifecycle,omitempty"`
	ServerOwner     string `json:"server_owner,omitempty"`
	Sensitivity     string `json:"sensitivity,omitempty"` // of the tool, else of the server
	AudienceCheck   string `json:"token_audience_check,omitempty"`
	ScopeCheck      string `json:"token_scope_check,omitempty"`
}

const factColumns = "registry_version, subject_owner, actor_owner, actor_lifecycle, server_owner, if(tool_sensitivity != '', tool_sensitivity, server_sensitivity), token_audience_check, token_scope_check"

// fields are the places for factColumns.
func (f *Facts) fields() []any {
	return []any{&f.RegistryVersion, &f.SubjectOwner, &f.ActorOwner, &f.ActorLifecycle, &f.ServerOwner, &f.Sensitivity, &f.AudienceCheck, &f.ScopeCheck}
}
