package scenario

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/privilege"
	"github.com/custody-audit/custody/processor/verdict"
)

// stepEvents is about how many events a rule judges or a pass takes in at once.
const stepEvents = 250_000

// step is the stored time in which so many come. What is too much for the limits of a
// query is repeated with half of it, as in service.
func (r *run) step() time.Duration {
	hours := float64(r.Days) * 24 * stepEvents / float64(r.Events)
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
	began := time.Now()
	if err := r.passes(ctx, conn, sessions); err != nil {
		return err
	}
	result.PassSeconds = time.Since(began).Seconds()
	began = time.Now()
	rules, err := detect.Builtin()
	if err != nil {
		return err
	}
	b := newBook(r.plot.labels)
	for _, rule := range rules {
		if err := r.rule(ctx, conn, sessions, rule, b); err != nil {
			return err
		}
	}
	result.RuleSeconds = time.Since(began).Seconds()
	t := b.total()
	result.Precision, result.Recall, result.Incidents, result.Found, result.Findings, result.False = t.Precision, t.Recall, t.Incidents, t.Found, t.Findings, t.False
	result.ByRule, result.Unexercised = b.rules, Unexercised
	result.FalsePerIdentityWeek = float64(t.False) / float64(r.Identities) / (float64(r.Days) / 7)
	r.tell(b)
	return nil
}

func (r *run) passes(ctx context.Context, conn driver.Conn, sessions *sql.DB) error {
	verdicts, err := verdict.New(verdict.Config{ClickHouse: conn, Sessions: sessions})
	if err != nil {
		return err
	}
	privileges, err := privilege.New(privilege.Config{ClickHouse: conn})
	if err != nil {
		return err
	}
	began := time.Now()
	timed := func(p enrich.Pass) enrich.Pass {
		return enrich.Pass{Name: p.Name, Take: func(ctx context.Context, from, to time.Time) error {
			r.say("pass %s at %s, %.0f s", p.Name, from.Format(time.DateTime), time.Since(began).Seconds())
			return p.Take(ctx, from, to)
		}}
	}
	engine, err := enrich.NewEngine(enrich.EngineConfig{ClickHouse: conn, Step: r.step(), Logger: r.Logger,
		Passes: []enrich.Pass{timed(enrich.Pass{Name: "verdict", Take: verdicts.Take}), timed(enrich.Pass{Name: "privilege", Take: privileges.Take})}})
	if err != nil {
		return err
	}
	if err := engine.Once(ctx); err != nil {
		return fmt.Errorf("passes: %w", err)
	}
	r.say("passes took %.0f s", time.Since(began).Seconds())
	return nil
}

func (r *run) rule(ctx context.Context, conn driver.Conn, sessions *sql.DB, rule *detect.Rule, b *book) error {
	began := time.Now()
	engine, err := detect.New(detect.Config{ClickHouse: conn, Sessions: sessions, Rules: []*detect.Rule{rule}, Step: r.step(), Logger: r.Logger})
	if err != nil {
		return err
	}
	if _, err := engine.Once(ctx); err != nil {
		return err
	}
	findings, err := detect.List(ctx, conn, detect.Filter{Rule: rule.ID, Status: detect.Open, Limit: mostFindings})
	if err != nil {
		return err
	}
	if len(findings) == mostFindings {
		return fmt.Errorf("rule %s found %d things or more", rule.ID, mostFindings)
	}
	b.judge(rule.ID, findings, time.Since(began).Seconds())
	r.say("rule %s: %d findings, %d false, %.0f s", rule.ID, len(findings), b.of(rule.ID).False, time.Since(began).Seconds())
	return nil
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
