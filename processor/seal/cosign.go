package seal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Witness is a party outside that cosigns a checkpoint after it has seen that
// the tree only grew (c2sp.org/tlog-witness).
type Witness interface {
	// Verifier verifies its cosignatures; its name names the witness.
	Verifier() note.Verifier
	// Cosign returns signature lines of the witness on a signed checkpoint. prove
	// gives the proof from the size that the witness saw last. It is not called by
	// several at the same time, and keeps nothing of its arguments. An error is
	// ErrInconsistent or ErrRefused when the witness answered so, ErrAhead when it
	// has seen a larger tree, and any other when it cannot be reached.
	Cosign(ctx context.Context, signed []byte, prove func(ctx context.Context, old uint64) (tlog.TreeProof, error)) ([]byte, error)
}

// What a witness may answer.
var (
	ErrInconsistent = errors.New("the witness has seen another tree")
	ErrRefused      = errors.New("the witness refuses")
	ErrAhead        = errors.New("the witness has seen a larger tree")
)

// cosignTimeout bounds one question to one witness.
const cosignTimeout = 5 * time.Second

// witnessed asks the witnesses in rounds until ctx is done.
func (s *Sealer) witnessed(ctx context.Context) {
	tick := time.NewTicker(s.cfg.WitnessInterval)
	defer tick.Stop()
	asked := map[Tree]uint64{} // size that all witnesses cosigned
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.cosign(ctx, asked)
		}
	}
}

// cosign asks every witness about every tree that has a new checkpoint. A
// witness that cannot be reached is left alone until the next round.
func (s *Sealer) cosign(ctx context.Context, asked map[Tree]uint64) {
	notes := s.notes(asked)
	var mu sync.Mutex
	lines := map[Tree][]byte{}
	var all sync.WaitGroup
	for _, w := range s.cfg.Witnesses {
		all.Go(func() {
			for t, signed := range notes {
				got, err := s.ask(ctx, w, t, signed)
				mu.Lock()
				lines[t] = append(lines[t], got...)
				mu.Unlock()
				if err != nil && !errors.Is(err, ErrRefused) && !errors.Is(err, ErrInconsistent) && !errors.Is(err, ErrAhead) {
					return
				}
			}
		})
	}
	all.Wait()
	for t, signed := range notes {
		n, err := s.publishWitnessed(ctx, t, signed, lines[t])
		if err != nil && ctx.Err() == nil {
			s.cfg.Logger.Error("cosignatures are not stored", "topic", t.Topic, "partition", t.Partition, "error", err)
		}
		if n == len(s.cfg.Witnesses) {
			c, _ := ParseCheckpoint(noteText(signed)) // which we signed
			asked[t] = c.Size
		}
	}
}

// notes are the newest checkpoints that not all witnesses cosigned.
func (s *Sealer) notes(asked map[Tree]uint64) map[Tree][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[Tree][]byte{}
	for t, g := range s.trees {
		if g.note != nil && g.signed > asked[t] {
			out[t] = g.note
		}
	}
	return out
}

// ask returns the lines of one witness that verify.
func (s *Sealer) ask(ctx context.Context, w Witness, t Tree, signed []byte) ([]byte, error) {
	c, err := ParseCheckpoint(noteText(signed))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cosignTimeout)
	defer cancel()
	lines, err := w.Cosign(ctx, signed, func(ctx context.Context, old uint64) (tlog.TreeProof, error) {
		return s.store.ProveConsistency(ctx, t, old, c.Size)
	})
	if err == nil {
		_, err = openNote(append(append([]byte(nil), signed...), lines...), note.VerifierList(w.Verifier()))
	}
	if errors.Is(err, ErrAhead) {
		return nil, err // another process asked it meanwhile
	}
	s.tel.asked(ctx, w.Verifier().Name(), err)
	if err != nil {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.cfg.Logger.Warn("no cosignature", "witness", w.Verifier().Name(), "topic", t.Topic, "partition", t.Partition, "size", c.Size, "error", err)
		}
		return nil, err
	}
	return lines, nil
}

// publishWitnessed adds cosignatures to a checkpoint and publishes it. It returns
// how many there are.
func (s *Sealer) publishWitnessed(ctx context.Context, t Tree, signed, lines []byte) (int, error) {
	if len(lines) == 0 {
		return 0, nil
	}
	own, err := verifier(t.Origin(s.ring.Log()), s.cfg.Key.Public())
	if err != nil {
		return 0, err
	}
	known := []note.Verifier{own}
	for _, w := range s.cfg.Witnesses {
		known = append(known, w.Verifier())
	}
	n, err := openNote(append(append([]byte(nil), signed...), lines...), note.VerifierList(known...))
	if err != nil {
		return 0, fmt.Errorf("add cosignatures: %w", err)
	}
	n.UnverifiedSigs = nil
	whole, err := note.Sign(n)
	if err != nil {
		return 0, fmt.Errorf("add cosignatures: %w", err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return 0, err
	}
	if s.cfg.Folder != nil {
		if err := s.cfg.Folder.putHead(fileWitnessed, c, whole); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // what a witness gave is kept
	defer cancel()
	return len(n.Sigs) - 1, s.store.putCheckpoints(ctx, []Signed{{c, t, len(n.Sigs), time.Now(), whole}})
}
