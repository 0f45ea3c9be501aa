package processor_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embeddedtest"
)

// A processor is killed, or paused until Kafka has given its partitions away, at
// each stage of an insert. Its successor settles the block; then the paused one
// wakes up and what it had sent arrives.
func TestLostMember(t *testing.T) {
	for _, fate := range []string{"killed", "paused"} {
		for _, at := range []stage{beforeQuery, inData, beforeReply} {
			t.Run(fmt.Sprint(fate, " ", at), func(t *testing.T) {
				t.Parallel()
				lose(newPipeline(t), at, fate == "paused")
			})
		}
	}
}

func lose(p *pipeline, at stage, paused bool) {
	s, g := newSender(p), newGate(p.T, p.ClickHouse.Addr())
	first := p.startMember(g.addr)
	s.send(200)
	p.drain()

	held := g.arm(at)
	s.send(300)
	select {
	case <-held:
	case <-time.After(time.Minute):
		p.Fatal("no insert came by")
	}
	if paused {
		first.pause()
	} else {
		first.kill()
		g.release() // the kernel has closed its connections
	}
	second := p.startMember(p.ClickHouse.Addr())
	p.drain()
	if p.count("SELECT count() FROM completed_blocks") == 0 {
		p.Error("nobody was told that the views of a block were completed")
	}
	if paused {
		first.resume()
		g.release()
	}
	s.send(200)
	p.verify(s.acknowledged)
	second.leave()
	if paused {
		first.leave()
	}
}

// What a processor stored and did not live to sign is signed by the next one, also
// when no record follows.
func TestSignedBySuccessor(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	newSender(p).send(100)
	p.run() // without a sealer: as if killed before each checkpoint
	p.sealed()
	stop := p.start()
	defer stop()
	want := 0
	for _, end := range p.ends() {
		want += int(end)
	}
	embeddedtest.Eventually(t, time.Minute, "checkpoints of everything", func(context.Context) error {
		if got := p.count("SELECT sum(size) FROM (SELECT max(size) AS size FROM checkpoints GROUP BY partition)"); got != want {
			return fmt.Errorf("%d of %d records are signed", got, want)
		}
		return nil
	})
}
