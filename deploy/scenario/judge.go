package scenario

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/process"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/privilege"
	"github.com/custody-audit/custody/processor/verdict"
)

// stepEvents is about how many events a rule judges or a pass takes in at once.
const stepEvents = 2_000_000

// step is the stored time in which so many come. What is too much for the limits of a
// query is repeated with half of it, as in service.
func (r *run) step() time.Duration {
	hours := float64(r.Days) * 24 * stepEvents / float64(r.Events*(1+r.copies))
	return time.Duration(max(1, min(hours, 24*200))) * time.Hour
}

// judge lets the passes and the rules go through all that is stored, as one round of
// "custody detect --once" does, and scores the findings that are open in the end. Rules
// are run one by one, so that each can be timed. It is not a back-test, since that shows a rule
// none of its own findings, and some rules resolve those.
func (r *run) judge(ctx context.Context, result *Result) error {
	conn, err := r.open(embedded.Detector, "custody")
	if err != nil {
		return err
	}
	defer conn.Close()
	sessions := clickhouse.OpenDB(r.options(embedded.Detector, "custody"))
	defer sessions.Close()
	if err := r.passes(ctx, conn, sessions, result); err != nil {
		return err
	}
	if err := r.multiply(ctx); err != nil {
		return err
	}
	result.Judged = r.events * (1 + r.copies)
	process.ForgetPeak(r.engine.PID())
	rules, err := detect.Builtin()
	if err != nil {
		return err
	}
	b := newBook(r.plot.labels, r.judges)
	for n, rule := range rules {
		if !r.judges(rule.ID) {
			continue
		}
		cost, alike, err := r.rule(ctx, conn, sessions, rule, b)
		if err != nil {
			return err
		}
		if !alike {
			result.CopiesDiffer = append(result.CopiesDiffer, rule.ID)
		}
		result.Judging.add(cost)
		s := b.of(rule.ID)
		r.say("rule %s (%d of %d): %d findings, %d false, %.0f s, %.1f s of ClickHouse's CPU time", rule.ID, n+1, len(rules), s.Findings, s.False, cost.Seconds, cost.CPUSeconds)
	}
	result.MemoryBytes = process.Peak(r.engine.PID())
	t := b.total()
	result.Precision, result.Recall, result.Incidents, result.Found, result.Findings, result.False = t.Precision, t.Recall, t.Incidents, t.Found, t.Findings, t.False
	result.ByRule, result.Unexercised = b.rules, Unexercised
	result.FalsePerIdentityWeek = float64(t.False) / float64(r.Identities) / (float64(r.Days) / 7)
	r.tell(b)
	return nil
}

func (r *run) passes(ctx context.Context, conn driver.Conn, sessions *sql.DB, result *Result) error {
	verdicts, err := verdict.New(verdict.Config{ClickHouse: conn, Sessions: sessions})
	if err != nil {
		return err
	}
	privileges, err := privilege.New(privilege.Config{ClickHouse: conn})
	if err != nil {
		return err
	}
	only, err := r.awaited()
	if err != nil {
		return err
	}
	result.ByPass = map[string]*Cost{}
	var failed error
	progress := func(pass string, at time.Time) {
		r.reached("pass "+pass, at)
		cost, err := r.meter.lap(ctx)
		failed = errors.Join(failed, err)
		if result.ByPass[pass] == nil {
			result.ByPass[pass] = &Cost{}
		}
		result.ByPass[pass].add(cost)
		result.Passes.add(cost)
	}
	engine, err := enrich.NewEngine(enrich.EngineConfig{ClickHouse: conn, Step: r.step(), Logger: r.Logger, Only: only, Progress: progress,
		Passes: []enrich.Pass{{Name: "verdict", Take: verdicts.Take}, {Name: "privilege", Take: privileges.Take}}})
	if err != nil {
		return err
	}
	if err := errors.Join(engine.Once(ctx), failed); err != nil {
		return fmt.Errorf("passes: %w", err)
	}
	for _, pass := range slices.Sorted(maps.Keys(result.ByPass)) {
		c := result.ByPass[pass]
		r.say("pass %s: %.0f s, %.1f s of ClickHouse's CPU time", pass, c.Seconds, c.CPUSeconds)
	}
	return nil
}

// awaited are the passes that the rules which judge wait for or read; nil is all.
func (r *run) awaited() ([]string, error) {
	if len(r.Rules) == 0 {
		return nil, nil
	}
	rules, err := detect.Builtin()
	out := []string{}
	for _, rule := range rules {
		if !r.judges(rule.ID) {
			continue
		}
		out = append(out, rule.Schedule.After...)
		if rule.ID == "emitter_silent" {
			out = append(out, "verdict") // it waits for nothing, but goes by what that pass heard
		}
	}
	return out, err
}

func (r *run) rule(ctx context.Context, conn driver.Conn, sessions *sql.DB, rule *detect.Rule, b *book) (cost Cost, alike bool, err error) {
	if _, err := r.meter.lap(ctx); err != nil {
		return cost, false, err
	}
	engine, err := detect.New(detect.Config{ClickHouse: conn, Sessions: sessions, Rules: []*detect.Rule{rule}, Step: r.step(), Logger: r.Logger,
		Progress: func(id string, at time.Time) { r.reached("rule "+id, at) }})
	if err != nil {
		return cost, false, err
	}
	if _, err := engine.Once(ctx); err != nil {
		return cost, false, err
	}
	if cost, err = r.meter.lap(ctx); err != nil {
		return cost, false, err
	}
	findings, err := detect.List(ctx, conn, detect.Filter{Rule: rule.ID, Status: detect.Open, Limit: mostFindings})
	if err != nil {
		return cost, false, err
	}
	if len(findings) == mostFindings {
		return cost, false, fmt.Errorf("rule %s found %d things or more", rule.ID, mostFindings)
	}
	own := slices.DeleteFunc(slices.Clone(findings), func(f *detect.Finding) bool { return strings.Contains(f.Tenant, copyMark) })
	b.judge(rule.ID, own, cost)
	return cost, len(findings) == len(own)*(1+r.copies), nil
}

// mostFindings is what a list of findings may have.
const mostFindings = 10_000

// tell shows some of what went wrong.
func (r *run) tell(b *book) {
	shown := map[string]int{}
	for _, l := range b.missed() {
		if shown[l.Rule]++; shown[l.Rule] <= r.Wrong {
			r.say("missed: %s, %s, events %v", l.Rule, l.about, l.marked[:min(len(l.marked), 3)])
		}
	}
	for rule, list := range b.wrong {
		for _, f := range list[:min(len(list), r.Wrong)] {
			r.say("false: %s: %s; evidence %v", rule, f.Summary, f.Evidence[:min(len(f.Evidence), 3)])
		}
	}
}
