package query

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/schemas/event"
)

// StartForms says what a chain or a blast radius can begin with.
const StartForms = "an event id, a token reference (sha256:... or hmac:...), a trace id of 32 hex digits, principal:SUB or principal:SUB@ISSUER, SERVER/TOOL, or jsonrpc:SERVER/ID"

type startKind int

const (
	startEvent startKind = iota
	startToken
	startTrace
	startPrincipal
	startTool
	startJSONRPC
)

// start is where a question begins.
type start struct {
	kind startKind
	// text is the id, the reference, the trace, the sub, or the server.
	text string
	// more is the issuer of a principal, the tool, or the JSON-RPC id.
	more string
}

var tracePattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// ValidStart tells whether a text has one of the [StartForms].
func ValidStart(text string) bool {
	_, err := parseStart(text)
	return err == nil
}

func parseStart(text string) (start, error) {
	principal, isPrincipal := strings.CutPrefix(text, "principal:")
	request, isRequest := strings.CutPrefix(text, "jsonrpc:")
	switch {
	case isPrincipal && principal != "":
		sub, iss := principal, ""
		for _, scheme := range []string{"@https://", "@http://"} { // a sub may hold an @ of its own
			if i := strings.LastIndex(principal, scheme); i > 0 {
				sub, iss = principal[:i], principal[i+1:]
			}
		}
		return start{startPrincipal, sub, iss}, nil
	case isRequest:
		if server, id, ok := strings.Cut(request, "/"); ok && server != "" && id != "" {
			return start{startJSONRPC, server, id}, nil
		}
	case event.ValidRef(text):
		return start{startToken, text, ""}, nil
	case tracePattern.MatchString(text):
		return start{startTrace, text, ""}, nil
	}
	if _, err := event.IDTime(text); err == nil {
		return start{startEvent, text, ""}, nil
	}
	if server, tool, ok := strings.Cut(text, "/"); ok && !isPrincipal && !isRequest && server != "" && tool != "" {
		return start{startTool, server, tool}, nil
	}
	return start{}, fmt.Errorf("start %.80q: want %s", text, StartForms)
}

// begin finds the tokens of the start.
func (w *walk) begin(ctx context.Context, s start) error {
	switch s.kind {
	case startToken:
		w.asked[s.text] = true
		return w.ofToken(ctx, s.text)
	case startTrace:
		return w.ofTrace(ctx, s.text)
	case startPrincipal:
		return w.ofPrincipal(ctx, s)
	case startTool:
		return w.ofCalls(ctx, "tool_name = {more:String}", s)
	case startJSONRPC:
		return w.ofCalls(ctx, "jsonrpc_id = {more:String}", s)
	}
	events, err := w.r.Events(ctx, []string{s.text})
	if err != nil {
		return err
	}
	for _, e := range events {
		w.begun[e.ID] = true
		w.seed(e, true)
	}
	return w.tracesOf(ctx, events)
}

// callsAsked bounds the calls whose traces are asked for a token of unknown origin.
const callsAsked = 20

// ofToken starts from a token. The traces of how it came to be and of its first
// calls hold most of the exchanges above and below it, so that a walk along the
// edges has little left to find; and where nothing tells how it came to be, they
// may hold the exchanges that do not name it.
func (w *walk) ofToken(ctx context.Context, ref string) error {
	var calls []string
	known := false
	err := w.r.rows(ctx, "SELECT tenant, toString(event_id), role = 'issued' OR kind = 'credential' AS made FROM token_use WHERE "+tenant+" AND ref = {ref:String} ORDER BY made DESC, time LIMIT {limit:UInt32} BY tenant",
		parameters{"ref": ref, "limit": strconv.Itoa(callsAsked)}, func(rows driver.Rows) error {
			var tenant, id string
			var makes bool
			if err := rows.Scan(&tenant, &id, &makes); err != nil {
				return err
			}
			w.tenants[tenant] = true
			known, calls = true, append(calls, id)
			return nil
		})
	if err != nil {
		return err
	}
	if !known {
		return fmt.Errorf("%w: no event names token %s", ErrNotFound, ref)
	}
	w.refs[ref] = true
	w.start = append(w.start, ref)
	events, err := w.r.Events(ctx, calls)
	if err != nil {
		return err
	}
	return w.tracesOf(ctx, events)
}

// tracesOf adds what happened in the events' traces.
func (w *walk) tracesOf(ctx context.Context, events []*event.Event) error {
	var found [callsAsked][]*event.Event
	asked := map[string]bool{"": true}
	together, ctx := errgroup.WithContext(ctx)
	together.SetLimit(atOnce)
	for _, e := range events {
		if trace := e.Correlation.TraceID; !asked[trace] && len(asked) <= callsAsked {
			into := &found[len(asked)-1]
			asked[trace] = true
			together.Go(func() (err error) {
				*into, err = w.ofTraceAt(ctx, e)
				return err
			})
		}
	}
	err := together.Wait()
	for _, e := range slices.Concat(found[:]...) {
		w.seed(e, false)
	}
	return err
}

func (w *walk) ofTrace(ctx context.Context, id string) error {
	events, err := w.trace(ctx, "trace_id = {trace:String}", parameters{"trace": id})
	for _, e := range events {
		w.seed(e, true)
	}
	return err
}

// traceReach is how far from an event its trace is looked for. With the tenant and
// the hours, the order of the table finds a trace; without, its index is asked in
// every part.
const traceReach = 24 * time.Hour

// ofTraceAt returns what happened in an event's trace at about that time.
func (w *walk) ofTraceAt(ctx context.Context, e *event.Event) ([]*event.Event, error) {
	hour := func(d time.Duration) string {
		return strconv.FormatInt(e.Time.Add(d).Go().Truncate(time.Hour).Unix(), 10)
	}
	return w.trace(ctx, "tenant = {of:String} AND toStartOfHour(time) BETWEEN toDateTime({from:UInt32}, 'UTC') AND toDateTime({to:UInt32}, 'UTC') AND trace_id = {trace:String}",
		parameters{"of": e.Tenant, "trace": e.Correlation.TraceID, "from": hour(-traceReach), "to": hour(traceReach)})
}

func (w *walk) trace(ctx context.Context, condition string, p parameters) ([]*event.Event, error) {
	p["limit"] = strconv.Itoa(MaxEvents)
	return w.r.events(ctx, "SELECT raw FROM events WHERE "+tenant+" AND "+condition+" ORDER BY time LIMIT {limit:UInt32}", p)
}

// inWindow bounds a query in time.
const inWindow = "time >= fromUnixTimestamp64Micro(toInt64({from:String}), 'UTC') AND time < fromUnixTimestamp64Micro(toInt64({to:String}), 'UTC')"

func (w *walk) bounded(p parameters) parameters {
	from, to := w.options.window()
	p["from"], p["to"] = strconv.FormatInt(from.UnixMicro(), 10), strconv.FormatInt(to.UnixMicro(), 10)
	p["limit"] = strconv.Itoa(MaxStarts)
	return p
}

// byPrincipal are the events in which a principal holds the token or is whom it is for.
const byPrincipal = "(actor_sub = {sub:String} AND ({iss:String} = '' OR actor_iss = {iss:String}) OR subject_sub = {sub:String} AND ({iss:String} = '' OR subject_iss = {iss:String}))"

// ofPrincipal starts from the newest tokens that somebody held, or that were for
// them; from the calls too that name no token.
func (w *walk) ofPrincipal(ctx context.Context, s start) error {
	p := w.bounded(parameters{"sub": s.text, "iss": s.more})
	var ids []string
	err := w.r.rows(ctx, "SELECT tenant, if(kind = 'token_exchange', exchange_issued_token_ref, token_ref) AS ref, toString(argMax(id, time)) FROM events WHERE "+tenant+" AND "+inWindow+" AND "+byPrincipal+
		" AND kind IN ('token_exchange', 'tool_invocation', 'credential', 'permission_decision') GROUP BY tenant, ref ORDER BY max(time) DESC LIMIT {limit:UInt32}",
		p, func(rows driver.Rows) error {
			var tenant, ref, id string
			if err := rows.Scan(&tenant, &ref, &id); err != nil {
				return err
			}
			w.tenants[tenant] = true
			if ref == "" {
				ids = append(ids, id)
				return nil
			}
			w.start, w.refs[ref], w.asked[ref] = append(w.start, ref), true, true
			return nil
		})
	if err != nil {
		return err
	}
	if len(w.start) >= MaxStarts {
		w.cut = append(w.cut, fmt.Sprintf("tokens of the principal before its newest %d", MaxStarts))
	}
	return w.ofEvents(ctx, ids)
}

// ofCalls starts from the newest calls at a server that meet a condition.
func (w *walk) ofCalls(ctx context.Context, condition string, s start) error {
	var ids []string
	err := w.r.rows(ctx, "SELECT toString(id) FROM events WHERE "+tenant+" AND "+inWindow+" AND kind = 'tool_invocation' AND server_id = {server:String} AND "+condition+" ORDER BY time DESC LIMIT {limit:UInt32}",
		w.bounded(parameters{"server": s.text, "more": s.more}), func(rows driver.Rows) error {
			var id string
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		})
	if err != nil {
		return err
	}
	if len(ids) >= MaxStarts {
		w.cut = append(w.cut, fmt.Sprintf("calls before the newest %d", MaxStarts))
	}
	return w.ofEvents(ctx, ids)
}

func (w *walk) ofEvents(ctx context.Context, ids []string) error {
	events, err := w.r.Events(ctx, ids)
	if err != nil {
		return err
	}
	for _, e := range events {
		w.begun[e.ID] = true
		w.seed(e, true)
	}
	return w.tracesOf(ctx, events)
}
