package processor

import "context"

// slots are the blocks of a process: they bound its memory, however many
// partitions it has. Who builds a block has taken one, who stored it puts it
// back; in between nobody waits for another block, so all come back.
type slots chan *block

func newSlots(n int) slots {
	s := make(slots, n)
	for range n {
		s <- nil // made when first taken
	}
	return s
}

func (s slots) take(ctx context.Context) (*block, error) {
	select {
	case b := <-s:
		if b == nil {
			b = newBlock()
		}
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s slots) put(b *block) { s <- b }
