package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// The kinds of faults.
const (
	processorKill       = "processor_kill"       // kill -9
	processorPause      = "processor_pause"      // SIGSTOP past the session timeout, then SIGCONT
	rebalanceStorm      = "rebalance_storm"      // members join and leave quickly
	clickhouseKill      = "clickhouse_kill"      // kill -9
	clickhouseCut       = "clickhouse_cut"       // all connections end, new ones are refused
	clickhouseBlackhole = "clickhouse_blackhole" // what it answers, or is sent, goes nowhere
	brokerCut           = "broker_cut"
	brokerBlackhole     = "broker_blackhole"
	diskFull            = "disk_full" // of ClickHouse
)

// hands say which kinds may hit at the same time: one of each hand at most.
var hands = [][]string{
	{processorKill, processorKill, processorPause, rebalanceStorm},
	{clickhouseKill, clickhouseKill, clickhouseCut, clickhouseBlackhole, diskFull},
	{brokerCut, brokerBlackhole},
}

// AllKinds are the names of the kinds.
func AllKinds() []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(hands...))))
}

// fault is one that is planned.
type fault struct {
	kind     string
	delay    time.Duration // from the round's beginning
	lasts    time.Duration
	member   int
	upstream bool    // of a black hole: swallows what is sent, else what is answered
	share    float32 // of the connections
	comings  []coming
}

// coming is a member of a storm.
type coming struct {
	after, stays time.Duration
	killed       bool
}

func (f fault) String() string { return fmt.Sprintf("%s %.1f s", f.kind, f.lasts.Seconds()) }

// plan draws the faults of a round, at least one.
func (r *run) plan(p *rand.Rand) []fault {
	for {
		var out []fault
		order := p.Perm(len(hands))
		for _, i := range order[:2+p.IntN(len(hands)-1)] {
			f := draw(p, hands[i], r.cfg.Members)
			if r.may(f.kind) {
				out = append(out, f)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
}

func (r *run) may(kind string) bool {
	return !slices.Contains(r.result.LeftOut, kind) && (len(r.cfg.Kinds) == 0 || slices.Contains(r.cfg.Kinds, kind))
}

func draw(p *rand.Rand, hand []string, members int) fault {
	between := func(from, to float64) time.Duration {
		return time.Duration((from + (to-from)*p.Float64()) * float64(time.Second))
	}
	f := fault{kind: hand[p.IntN(len(hand))], delay: between(0, 1), member: p.IntN(members), upstream: p.IntN(3) == 0, share: 1}
	if p.IntN(2) == 0 {
		f.share = .5
	}
	switch f.kind {
	case processorKill:
		f.lasts = between(0, 2) // until it is started again
	case processorPause:
		f.lasts = between(sessionTimeout.Seconds()+.5, sessionTimeout.Seconds()+4)
	case clickhouseCut, brokerCut:
		f.lasts = between(0, 3)
	case clickhouseBlackhole:
		f.lasts = between(.5, 6)
	case brokerBlackhole:
		f.lasts = between(.5, sessionTimeout.Seconds()+3)
	case diskFull:
		f.lasts = between(1, 5)
	case rebalanceStorm:
		for range 2 + p.IntN(3) {
			c := coming{between(0, 2), between(.5, 4), p.IntN(2) == 0}
			f.comings, f.lasts = append(f.comings, c), max(f.lasts, c.after+c.stays)
		}
	}
	return f
}

// hit inflicts a fault and heals it. ClickHouse and members come back by their supervisors.
func (r *run) hit(ctx context.Context, f fault) error {
	switch f.kind {
	case processorKill:
		return r.members.kill(ctx, f.member, f.lasts)
	case processorPause:
		return r.members.pause(ctx, f.member, f.lasts)
	case rebalanceStorm:
		return r.members.storm(ctx, f.comings)
	case clickhouseKill:
		return r.killEngine()
	case clickhouseCut:
		return r.clickhouse.cut(ctx, f.lasts)
	case clickhouseBlackhole:
		return r.clickhouse.swallow(ctx, f)
	case brokerCut:
		return r.kafka.cut(ctx, f.lasts)
	case brokerBlackhole:
		return r.kafka.swallow(ctx, f)
	case diskFull:
		return r.fillDisk(ctx, f.lasts)
	}
	return errors.New("no such fault")
}

// killEngine kills ClickHouse; between two lives there is nothing to kill.
func (e *estate) killEngine() error {
	if pid := e.engine.PID(); pid > 0 {
		return syscall.Kill(pid, syscall.SIGKILL)
	}
	return nil
}
