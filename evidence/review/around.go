package review

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/processor/worklist"
)

// telemetry are the rules whose findings say that evidence is missing.
var telemetry = []string{"emitter_silent", "event_doubled", "event_forged", "log_gap", "seal_broken", "sequence_gap", "sequence_replay"}

// checkpoints takes the newest of each tree.
func (f *freezing) checkpoints(ctx context.Context) error {
	f.out.Checkpoints = []Checkpoint{}
	const sql = `SELECT note FROM checkpoints WHERE topic LIKE '%custody.events' ORDER BY topic, epoch, partition, base, size DESC, signatures DESC LIMIT 1 BY topic, epoch, partition, base`
	return each(ctx, f.ClickHouse, sql, nil, func(rows driver.Rows) error {
		var note string
		if err := rows.Scan(&note); err != nil {
			return err
		}
		c, err := checkpointOf(note)
		f.out.Checkpoints = append(f.out.Checkpoints, c)
		return err
	})
}

// checkpointOf reads a note without verifying it: who reads the report does.
func checkpointOf(note string) (Checkpoint, error) {
	text, signatures, _ := strings.Cut(note, "\n\n") // a checkpoint has no empty line
	head, err := seal.ParseCheckpoint(text + "\n")
	if err != nil {
		return Checkpoint{}, err
	}
	log, _, err := seal.ParseOrigin(head.Origin)
	if err != nil {
		return Checkpoint{}, err
	}
	c := Checkpoint{Origin: head.Origin, Size: head.Size, Witnesses: []string{}, Note: note}
	for line := range strings.Lines(signatures) {
		// "— NAME BASE64", as in c2sp.org/signed-note
		if parts := strings.Fields(line); len(parts) == 3 && parts[1] != log && parts[1] != head.Origin && !slices.Contains(c.Witnesses, parts[1]) {
			c.Witnesses = append(c.Witnesses, parts[1])
		}
	}
	slices.Sort(c.Witnesses)
	return c, nil
}

// decisions counts them by policy, version and effect.
func (f *freezing) decisions(ctx context.Context) error {
	const sql = `SELECT decision_engine, decision_policy, decision_policy_version, toString(decision_effect), count(), min(time), max(time), toString(argMin(id, (time, id))), toString(argMax(id, (time, id)))
		FROM events WHERE` + inScope + ` AND kind = 'permission_decision'
		GROUP BY decision_engine, decision_policy, decision_policy_version, decision_effect ORDER BY ALL LIMIT 1000`
	return each(ctx, f.ClickHouse, sql, f.values(), func(rows driver.Rows) error {
		var d Decisions
		var ids [2]string
		err := rows.Scan(&d.Engine, &d.Policy, &d.Version, &d.Effect, &d.Count, &d.First, &d.Last, &ids[0], &ids[1])
		d.First, d.Last, d.Evidence = d.First.UTC(), d.Last.UTC(), slices.Compact(ids[:])
		f.out.Decisions = append(f.out.Decisions, d)
		return err
	})
}

// calls counts them by verdict, with who was heard of.
func (f *freezing) calls(ctx context.Context) error {
	s, err := f.Reader.VerdictSummary(ctx, query.VerdictFilter{Server: f.Scope.Server, From: f.Scope.From, To: f.Scope.To})
	if err != nil {
		return err
	}
	f.out.Calls = Calls{s.Calls, s.Decision, s.Token, s.Exchange}
	f.out.Coverage = slices.DeleteFunc(s.Coverage, func(c query.SourceCoverage) bool {
		return f.Scope.Server != "" && c.Server != "" && c.Server != f.Scope.Server
	})
	for i := range f.out.Coverage {
		c := &f.out.Coverage[i]
		c.First, c.Last = c.First.UTC(), c.Last.UTC()
	}
	return nil
}

// gaps are what the detections found about telemetry in the period, whatever became
// of it, and where the log itself was not read.
func (f *freezing) gaps(ctx context.Context) error {
	for _, rule := range telemetry {
		list, err := worklist.List(ctx, f.ClickHouse, worklist.Filter{Tenant: f.Scope.Tenant, Rule: rule, Status: worklist.All, Limit: maxGaps})
		if err != nil {
			return err
		}
		for _, found := range list {
			if found.LastSeen.Before(f.Scope.From) || !found.FirstSeen.Before(f.Scope.To) {
				continue
			}
			f.out.Gaps = append(f.out.Gaps, Gap{rule, found.Summary, found.Status, found.FirstSeen.UTC(), texts(found.Evidence), f.controls([]string{rule})})
		}
	}
	const sql = `SELECT partition, lost_from, lost_to, reason, time FROM log_gaps FINAL WHERE time >= {from:DateTime64(6, 'UTC')} AND time < {to:DateTime64(6, 'UTC')} ORDER BY time, partition LIMIT 1000`
	err := each(ctx, f.ClickHouse, sql, f.values(), func(rows driver.Rows) error {
		var partition uint32
		var from, to uint64
		var reason string
		var at time.Time
		err := rows.Scan(&partition, &from, &to, &reason, &at)
		summary := fmt.Sprintf("partition %d began anew (%s)", partition, reason)
		if to > from {
			summary = fmt.Sprintf("partition %d: records %d to %d were never read (%s)", partition, from, to-1, reason)
		}
		f.out.Gaps = append(f.out.Gaps, Gap{"log", summary, "recorded", at.UTC(), []string{}, f.controls([]string{"log_gap"})})
		return err
	})
	slices.SortFunc(f.out.Gaps, func(a, b Gap) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Kind+a.Summary, b.Kind+b.Summary)
	})
	return err
}

func texts(ids []uuid.UUID) []string {
	out := []string{}
	for _, id := range ids {
		out = append(out, id.String())
	}
	return out
}

// samples draws calls by lot: the lot is the digest of the checkpoints, which is
// settled before anybody knows whom it hits, and the same for who draws again.
func (f *freezing) samples(ctx context.Context) error {
	var notes []string
	for _, c := range f.out.Checkpoints {
		text, _, _ := strings.Cut(c.Note, "\n\n")
		notes = append(notes, text)
	}
	p := f.values()
	p["lot"], p["limit"] = key(notes...), fmt.Sprint(MaxSamples)
	var ids []string
	const sql = `SELECT toString(id) FROM events WHERE` + inScope + ` AND kind = 'tool_invocation' ORDER BY SHA256(concat({lot:String}, toString(id))) LIMIT {limit:UInt32}`
	err := each(ctx, f.ClickHouse, sql, p, func(rows driver.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		found, err := f.Reader.ChainOf(ctx, id, query.ChainOptions{})
		if err != nil {
			return fmt.Errorf("chain of %s: %w", id, err)
		}
		if len(found.Chains) == 0 {
			continue
		}
		s, err := sampleOf(id, found.Chains[0])
		if err != nil {
			return err
		}
		f.out.Samples = append(f.out.Samples, s)
	}
	return nil
}

func sampleOf(id string, c *chain.Chain) (Sample, error) {
	s := Sample{Event: id, Depth: c.Depth, Missing: c.Missing, Evidence: []string{}}
	var tree strings.Builder
	if err := c.WriteTree(&tree); err != nil {
		return s, err
	}
	s.Tree = tree.String()
	c.Root.Walk(func(h *chain.Hop, _ int) {
		if h.ExchangeEvent != "" {
			s.Evidence = append(s.Evidence, h.ExchangeEvent)
		}
		for i := range h.Calls {
			s.Evidence = append(s.Evidence, h.Calls[i].Event)
		}
		for _, e := range h.Evidence {
			s.Evidence = append(s.Evidence, e.Event)
		}
	})
	slices.Sort(s.Evidence)
	s.Evidence = slices.Compact(s.Evidence)
	return s, nil
}

// notAssessed says what the review cannot judge.
func (f *freezing) notAssessed() {
	say := func(format string, args ...any) {
		f.out.NotAssessed = append(f.out.NotAssessed, fmt.Sprintf(format, args...))
	}
	states := map[string]int{}
	for _, l := range f.out.Lines {
		if l.NotAssessed != "" {
			states[l.State]++
		}
	}
	for _, state := range standing {
		if n := states[state]; n > 0 {
			say("%d privileges are %s: %s", n, state, unjudged[state])
		}
	}
	for _, of := range []struct {
		counts map[string]uint64
		word   string
		says   string
	}{
		{f.out.Calls.Decision, "no_decision_source", "no source of decisions is connected for their server, so whether they were allowed is not known"},
		{f.out.Calls.Token, "issuer_not_connected", "no source reports tokens of their issuer, so where the token comes from is not known"},
		{f.out.Calls.Exchange, "unknown", "scopes of the exchange or of its subject token are not known, so whether it widened them is not"},
	} {
		if n := of.counts[of.word]; n > 0 {
			say("%d calls are %s: %s", n, of.word, of.says)
		}
	}
	if f.out.Registry == "" {
		say("no registry is in force: nobody is known to own anything")
	}
	if len(f.out.Checkpoints) == 0 {
		say("the log has no checkpoint: what is evidence here cannot be proven to be unaltered")
	}
	if f.Scope.Owner != "" {
		say("decisions, calls, coverage, gaps and samples are those of the tenant, not of the owner alone")
	}
	say("who owns a policy: the registry has owners of identities, servers and tools, not of policies")
	say("what no source reports: a grant that was never seen, or a call of a server that is not connected")
}
