package reconcile

import (
	"context"
	"maps"

	"github.com/google/uuid"
)

// explains judges records of deletions: which of them say why rows are missing. One
// that came since the cycle began is verified now.
func (r *Reconciler) explains(ctx context.Context, records []uuid.UUID) (map[uuid.UUID]bool, error) {
	judged := r.judgements()
	for _, id := range records {
		if _, known := judged[id]; !known {
			if _, err := r.deletions(ctx, false); err != nil {
				return nil, err
			}
			return r.judgements(), nil
		}
	}
	return judged, nil
}

func (r *Reconciler) judgements() map[uuid.UUID]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.judged
}

// deletions verifies the records of deletions, in full cycles all of them again, and
// says which do not: what those are about counts as deleted by somebody. A record
// that lies outside ClickHouse and is not there any more is one that was removed.
func (r *Reconciler) deletions(ctx context.Context, full bool) ([]Discrepancy, error) {
	var known map[uuid.UUID]bool
	if !full {
		known = r.judgements()
	}
	var published [][]byte // before what is stored, which is there first
	if full && r.cfg.Folder != nil {
		var err error
		if published, err = r.cfg.Folder.Retentions(r.cfg.Ring.Log()); err != nil {
			return nil, err
		}
	}
	list, err := r.sealed.Retentions(ctx, r.cfg.Ring, known)
	if err != nil {
		return nil, err
	}
	judged := map[uuid.UUID]bool{}
	maps.Copy(judged, known)
	var found []Discrepancy
	for _, s := range list {
		if judged[s.ID] = s.Problem == nil; s.Problem != nil {
			found = append(found, discrepancy(Retention, s.Tree, s.First, s.Last+1, "the record "+s.ID.String()+" of a deletion by policy counts for nothing: "+oneLine(s.Problem)))
		}
	}
	found = append(found, r.removed(published, judged)...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.judged = judged
	return found, nil
}

// removed are the published records that ClickHouse does not have.
func (r *Reconciler) removed(published [][]byte, stored map[uuid.UUID]bool) (found []Discrepancy) {
	for _, signed := range published {
		s, err := r.cfg.Ring.OpenRetention(signed)
		if err != nil {
			continue // nobody vouches for it
		}
		if _, there := stored[s.ID]; !there {
			found = append(found, discrepancy(Retention, s.Tree, s.First, s.Last+1, "the record "+s.ID.String()+" of a deletion by policy is in the folder, and not in ClickHouse"))
		}
	}
	return found
}
