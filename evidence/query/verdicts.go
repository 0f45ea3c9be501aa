package query

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
)

// The words of the verdicts about a call; docs/analyst.md says what each means.
var (
	DecisionVerdicts = []string{"decided_allow", "decided_deny_but_ran", "denied", "undecided", "no_decision_seen", "no_decision_source"}
	TokenVerdicts    = []string{"legitimate", "passthrough", "orphan", "issuer_not_connected", "static", "absent", "expired"}
	ExchangeVerdicts = []string{"exact", "narrowed", "widening", "step_up", "cached", "none", "unknown"}
)

// VerdictWords are all of them; none is a verdict of two kinds.
func VerdictWords() []string { return slices.Concat(DecisionVerdicts, TokenVerdicts, ExchangeVerdicts) }

// VerdictFilter says which calls; what is empty does not narrow.
type VerdictFilter struct {
	ID, Server, Tool, Actor, Subject, Token, Trace string
	// Verdicts: of each of the three kinds that has words here, the call has one of them.
	Verdicts []string
	// From inclusive, To exclusive: the time of the call. Give a From on large stores.
	From, To time.Time
}

// Verdict is one call, judged.
type Verdict struct {
	Tenant  string    `json:"tenant"`
	ID      uuid.UUID `json:"id"` // event id of the call
	Time    time.Time `json:"time"`
	Source  string    `json:"source"`
	Server  string    `json:"server"`
	Tool    string    `json:"tool"`
	Subject string    `json:"subject,omitempty"`
	Actor   string    `json:"actor,omitempty"`
	Token   string    `json:"token,omitempty"`
	Trace   string    `json:"trace,omitempty"`
	Outcome string    `json:"outcome"`
	Ran     bool      `json:"ran"` // it was carried out

	Decision string `json:"decision_verdict"`
	TokenIs  string `json:"token_verdict"`
	Exchange string `json:"exchange_verdict"`
	// DecidedBy is the decision that counts; nil for none.
	DecidedBy *DecidedBy `json:"decision,omitempty"`
	// TokenEvent is the id of the exchange or the issue that made the token; nil for none.
	TokenEvent *uuid.UUID `json:"token_event,omitempty"`
	// TokenIssuer is the token's, or the subject's where the token names none.
	TokenIssuer string `json:"token_issuer,omitempty"`
	// ScopeAdded is what the exchange granted beyond its subject token.
	ScopeAdded []string `json:"scope_added,omitempty"`
	// Coverage says what the three rest on, Sources whose silence they count on.
	Coverage string   `json:"coverage_note"`
	Sources  []string `json:"coverage_sources,omitempty"`
}

// DecidedBy is a decision as a verdict rests on it.
type DecidedBy struct {
	Event   uuid.UUID `json:"event"`
	Join    string    `json:"join"` // decision_id, token_jsonrpc, trace_jsonrpc, trace: the strongest there is
	Effect  string    `json:"effect"`
	Time    time.Time `json:"time"`
	Source  string    `json:"source"`
	Engine  string    `json:"engine,omitempty"`
	Policy  string    `json:"policy,omitempty"`
	Version string    `json:"policy_version,omitempty"`
}

// VerdictPage is one page of judged calls, newest first.
type VerdictPage struct {
	Verdicts []*Verdict `json:"verdicts"`
	// Next continues behind the last call; empty at the end.
	Next string `json:"next,omitempty"`
}

const verdictColumns = `tenant, id, time, source_id, server_id, tool_name, subject_sub, actor_sub, token_ref, trace_id, outcome, ran,
	decision_verdict, token_verdict, exchange_verdict, decision_event, join, decision_effect, decision_time, decision_source, decision_engine,
	decision_policy, decision_policy_version, token_event, token_issuer, exchange_scope_added, coverage_note,
	arrayDistinct(arrayMap(s -> toString(s.1), arrayConcat(if(startsWith(decision_verdict, 'no_decision'), deciders, []), if(token_verdict = 'orphan', issuers, []))))`

// Verdicts returns up to limit judged calls, newest first, after the place that
// an earlier page named.
func (r *Reader) Verdicts(ctx context.Context, f VerdictFilter, limit int, after string) (*VerdictPage, error) {
	if limit < 1 || limit > MaxPage {
		return nil, fmt.Errorf("limit %d: want 1 to %d", limit, MaxPage)
	}
	where, values, err := f.conditions()
	if err != nil {
		return nil, err
	}
	if after != "" {
		at, err := event.IDTime(after)
		if err != nil {
			return nil, fmt.Errorf("page %w", err)
		}
		// The id begins with the time in milliseconds, so the pair is a total order.
		where = append(where, "(toUnixTimestamp64Milli(time), id) < (toInt64({after_ms:String}), toUUID({after:String}))", "time < fromUnixTimestamp64Milli(toInt64({after_ms:String}) + 1, 'UTC')")
		values["after"], values["after_ms"] = after, fmt.Sprint(int64(at)/1000)
	}
	values["limit"] = fmt.Sprint(limit)
	page := &VerdictPage{Verdicts: []*Verdict{}}
	const order = " ORDER BY toUnixTimestamp64Milli(time) DESC, id DESC LIMIT {limit:UInt32}"
	// What is said of a call is looked up for those of the page only.
	err = r.rows(ctx, "SELECT "+verdictColumns+" FROM verdicts WHERE (tenant, toStartOfHour(time), id) IN (SELECT tenant, toStartOfHour(time), id FROM ("+
		judgedCalls("tenant, time, id", where, order)+")"+order+")"+order, values, func(rows driver.Rows) error {
		v, err := scanVerdict(rows)
		page.Verdicts = append(page.Verdicts, v)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(page.Verdicts) == limit {
		page.Next = page.Verdicts[limit-1].ID.String()
	}
	return page, nil
}

// judgedCalls selects columns of judged calls in two parts: where no verdict rests on
// silence nobody has to be asked who was heard of, and those are the most.
func judgedCalls(columns string, where []string, rest string) string {
	conditions := strings.Join(where, " AND ")
	return "SELECT " + columns + " FROM (SELECT * REPLACE (toString(exchange_verdict) AS exchange_verdict), toString(decision_state) AS decision_verdict, toString(token_state) AS token_verdict" +
		" FROM verdict_states FINAL) WHERE decision_state != 'none' AND token_state != 'none' AND " + conditions + rest +
		" UNION ALL SELECT " + columns + " FROM verdicts WHERE (decision_state = 'none' OR token_state = 'none') AND " + conditions + rest
}

func scanVerdict(rows driver.Rows) (*Verdict, error) {
	v, d, token, ran := &Verdict{}, &DecidedBy{}, uuid.Nil, uint8(0)
	err := rows.Scan(&v.Tenant, &v.ID, &v.Time, &v.Source, &v.Server, &v.Tool, &v.Subject, &v.Actor, &v.Token, &v.Trace, &v.Outcome, &ran,
		&v.Decision, &v.TokenIs, &v.Exchange, &d.Event, &d.Join, &d.Effect, &d.Time, &d.Source, &d.Engine,
		&d.Policy, &d.Version, &token, &v.TokenIssuer, &v.ScopeAdded, &v.Coverage, &v.Sources)
	v.Ran = ran == 1
	if d.Event != uuid.Nil {
		v.DecidedBy = d
	}
	if token != uuid.Nil {
		v.TokenEvent = &token
	}
	return v, err
}

// conditions are those of SQL, and the values in them.
func (f *VerdictFilter) conditions() ([]string, parameters, error) {
	where, values := []string{tenant}, parameters{}
	for column, value := range map[string]string{
		"toString(id)": f.ID, "server_id": f.Server, "tool_name": f.Tool, "actor_sub": f.Actor, "subject_sub": f.Subject, "token_ref": f.Token, "trace_id": f.Trace,
	} {
		if value != "" {
			name := fmt.Sprint("v", len(values))
			where, values[name] = append(where, column+" = {"+name+":String}"), value
		}
	}
	if f.ID != "" {
		at, err := event.IDTime(f.ID)
		if err != nil {
			return nil, nil, fmt.Errorf("id %w", err)
		}
		where, values["hour"] = append(where, "toStartOfHour(time) = toDateTime({hour:UInt32}, 'UTC')"), fmt.Sprint(int64(at)/3_600_000_000*3600)
	}
	for name, bound := range map[string]struct {
		operator string
		time.Time
	}{"from": {">=", f.From}, "to": {"<", f.To}} {
		if !bound.IsZero() {
			where = append(where, "time "+bound.operator+" fromUnixTimestamp64Micro({"+name+":Int64}, 'UTC')")
			values[name] = fmt.Sprint(max(bound.UnixMicro(), 0))
		}
	}
	words, err := verdictConditions(f.Verdicts)
	for column, list := range words {
		where, values[column] = append(where, column+" IN {"+column+":Array(String)}"), array(list)
	}
	return where, values, err
}

// verdictConditions sorts words by the kind of verdict that they are.
func verdictConditions(words []string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, word := range words {
		known := false
		for column, list := range map[string][]string{"decision_verdict": DecisionVerdicts, "token_verdict": TokenVerdicts, "exchange_verdict": ExchangeVerdicts} {
			if slices.Contains(list, word) {
				out[column], known = append(out[column], word), true
			}
		}
		if !known {
			return nil, fmt.Errorf("verdict %q is unknown; verdicts are %s", word, strings.Join(VerdictWords(), ", "))
		}
	}
	return out, nil
}

// VerdictSummary is how many calls have which verdict, and who was heard of.
type VerdictSummary struct {
	Calls uint64 `json:"calls"`
	// Decision, Token and Exchange count the calls by verdict.
	Decision map[string]uint64 `json:"decision_verdict"`
	Token    map[string]uint64 `json:"token_verdict"`
	Exchange map[string]uint64 `json:"exchange_verdict"`
	// Servers count by server and verdict, only what is not in order.
	Servers []ServerVerdict `json:"servers"`
	// Coverage are the sources that were heard of in the hours asked about.
	Coverage []SourceCoverage `json:"coverage"`
}

// ServerVerdict counts the calls of one server with one verdict.
type ServerVerdict struct {
	Tenant  string `json:"tenant"`
	Server  string `json:"server"`
	Verdict string `json:"verdict"`
	Calls   uint64 `json:"calls"`
}

// SourceCoverage is a source that was heard of with one kind of event about one
// server or of one issuer.
type SourceCoverage struct {
	Tenant string `json:"tenant"`
	Kind   string `json:"kind"`
	Source string `json:"source"`
	Server string `json:"server,omitempty"`
	Issuer string `json:"issuer,omitempty"`
	// First and Last time of its events, Hours with one, and Minutes with one.
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Hours   uint64    `json:"hours"`
	Minutes uint64    `json:"minutes"`
}

// InOrder are the verdicts that nobody has to look into.
var InOrder = []string{"decided_allow", "denied", "legitimate", "exact", "narrowed", "step_up", "cached", "none"}

// VerdictSummary counts the judged calls, with the coverage of their time.
func (r *Reader) VerdictSummary(ctx context.Context, f VerdictFilter) (*VerdictSummary, error) {
	where, values, err := f.conditions()
	if err != nil {
		return nil, err
	}
	s := &VerdictSummary{Decision: map[string]uint64{}, Token: map[string]uint64{}, Exchange: map[string]uint64{}, Servers: []ServerVerdict{}}
	const by = "tenant, server_id, decision_verdict, token_verdict, exchange_verdict"
	err = r.rows(ctx, "SELECT "+by+", sum(calls) FROM ("+judgedCalls(by+", count() AS calls", where, " GROUP BY "+by)+") GROUP BY "+by+" ORDER BY "+by, values, func(rows driver.Rows) error {
		var of ServerVerdict
		var words [3]string
		if err := rows.Scan(&of.Tenant, &of.Server, &words[0], &words[1], &words[2], &of.Calls); err != nil {
			return err
		}
		s.Calls += of.Calls
		for i, counts := range []map[string]uint64{s.Decision, s.Token, s.Exchange} {
			counts[words[i]] += of.Calls
			s.server(of, words[i])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.Coverage, err = r.Coverage(ctx, f.From, f.To)
	return s, err
}

// server counts what is not in order.
func (s *VerdictSummary) server(of ServerVerdict, word string) {
	if slices.Contains(InOrder, word) {
		return
	}
	of.Verdict = word
	for i := range s.Servers {
		if o := &s.Servers[i]; o.Tenant == of.Tenant && o.Server == of.Server && o.Verdict == word {
			o.Calls += of.Calls
			return
		}
	}
	s.Servers = append(s.Servers, of)
}

// Coverage returns which sources were heard of, by the hours that lie between two
// times; a zero time is no bound.
func (r *Reader) Coverage(ctx context.Context, from, to time.Time) ([]SourceCoverage, error) {
	where, values := []string{tenant}, parameters{}
	for name, bound := range map[string]struct {
		operator string
		time.Time
	}{"from": {">= toStartOfHour", from}, "to": {"<", to}} {
		if !bound.IsZero() {
			where = append(where, "hour "+bound.operator+"(toDateTime({"+name+":UInt32}, 'UTC'))")
			values[name] = fmt.Sprint(max(bound.Unix(), 0))
		}
	}
	out := []SourceCoverage{}
	err := r.rows(ctx, `SELECT tenant, kind, source_id, server_id, issuer, min(first_time), max(last_time), uniqExact(hour), sum(minutes_heard)
		FROM coverage WHERE `+strings.Join(where, " AND ")+" GROUP BY tenant, kind, source_id, server_id, issuer ORDER BY tenant, kind, server_id, issuer, source_id",
		maps.Clone(values), func(rows driver.Rows) error {
			var c SourceCoverage
			err := rows.Scan(&c.Tenant, &c.Kind, &c.Source, &c.Server, &c.Issuer, &c.First, &c.Last, &c.Hours, &c.Minutes)
			out = append(out, c)
			return err
		})
	return out, err
}
