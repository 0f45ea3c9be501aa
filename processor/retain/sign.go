package retain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/event"
)

// states are what is in force now: of what lets records be deleted, what events show.
func (r *Retainer) states(ctx context.Context) ([]*State, error) {
	written, err := Acts(ctx, r.cfg.ClickHouse, "")
	if err != nil {
		return nil, err
	}
	shown, err := sealed(ctx, r.cfg.ClickHouse)
	if err != nil {
		return nil, err
	}
	return Fold(append(written, shown...), true), nil
}

// head is how far a tree is signed.
type head struct {
	tree seal.Tree
	end  uint64 // the offset behind the last that a checkpoint covers
}

func (r *Retainer) heads(ctx context.Context) ([]head, error) {
	var out []head
	err := each(ctx, r.cfg.ClickHouse, "SELECT argMax(note, (size, signatures)) FROM checkpoints GROUP BY topic, epoch, partition, base ORDER BY topic, epoch, partition, base", nil, func(rows driver.Rows) error {
		var note string
		if err := rows.Scan(&note); err != nil {
			return err
		}
		c, t, err := r.cfg.Ring.OpenCheckpoint([]byte(note))
		if err == nil {
			out = append(out, head{t, t.Base + c.Size})
		} else {
			r.cfg.Logger.Warn("nothing of a tree is deleted: its checkpoint in ClickHouse does not verify", "error", err)
		}
		return nil
	})
	return out, err
}

// sign makes signed records of what is due in every tree.
func (r *Retainer) sign(ctx context.Context, rep *Report) error {
	states, err := r.states(ctx)
	if err != nil {
		return err
	}
	heads, err := r.heads(ctx)
	if err != nil {
		return err
	}
	hold := held(states)
	var errs []error
	rep.Held = 0
	for _, s := range states {
		for _, rule := range s.Rules {
			if rule.Days == 0 {
				continue
			}
			before := r.cfg.Now().AddDate(0, 0, -int(rule.Days)).UTC().Truncate(time.Millisecond)
			due := s.due(rule, before)
			maps.Copy(due.values, hold.values)
			for _, h := range heads {
				errs = append(errs, r.tree(ctx, h, &seal.Retention{Tree: h.tree, Tenant: s.Tenant, Kind: rule.Kind, Days: rule.Days, Before: before}, condition{due.sql + " AND NOT " + hold.sql, due.values}, rep))
			}
			if len(s.Holds) > 0 {
				n, err := r.count(ctx, "records", due.sql+" AND "+hold.sql, due.values)
				if err != nil {
					return err
				}
				rep.Held += n
			}
		}
	}
	return errors.Join(append(errs, r.erase(ctx, states, heads, hold, rep))...)
}

// tree signs what is due of one tree, a step at a time. Records whose bytes are not
// those of the leaf hash beside them are passed over.
func (r *Retainer) tree(ctx context.Context, h head, of *seal.Retention, due condition, rep *Report) error {
	p := clickhouse.Parameters{"topic": h.tree.Topic, "epoch": h.tree.Epoch, "partition": strconv.Itoa(h.tree.Partition), "end": fmt.Sprint(h.end), "step": strconv.Itoa(r.cfg.Step)}
	maps.Copy(p, due.values)
	for from := h.tree.Base; ; {
		p["from"] = fmt.Sprint(from)
		var leaves []seal.Leaf
		var digest seal.LeavesDigest
		err := each(ctx, r.cfg.ClickHouse, `SELECT offset, leaf_hash, id FROM records
			WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt32} AND offset >= {from:UInt64} AND offset < {end:UInt64}
				AND `+due.sql+` AND leaf_hash = SHA256(concat(char(0), raw))
				AND offset NOT IN (SELECT offset FROM retained_leaves WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt32} AND offset >= {from:UInt64})
			ORDER BY offset LIMIT {step:UInt32}`, p, func(rows driver.Rows) error {
			var l seal.Leaf
			var hash string
			if err := rows.Scan(&l.Offset, &hash, &l.ID); err != nil {
				return err
			}
			l.Hash = seal.Hash([]byte(hash))
			leaves = append(leaves, l)
			return digest.Add(l.Offset, l.Hash)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", h.tree, err)
		}
		if len(leaves) == 0 {
			return nil
		}
		record := *of
		record.ID, record.Time = uuid.New(), r.cfg.Now().UTC().Truncate(time.Second)
		digest.Of(&record)
		if err := r.put(ctx, &record, leaves); err != nil {
			return err
		}
		rep.Signed = append(rep.Signed, &record)
		if len(leaves) < r.cfg.Step {
			return nil
		}
		from = record.Last + 1
	}
}

// put makes a deletion evidence before it happens: an event of the tenant, the leaves,
// and the signed record.
func (r *Retainer) put(ctx context.Context, record *seal.Retention, leaves []seal.Leaf) error {
	signed, err := r.cfg.Key.SignRetention(record)
	if err != nil {
		return err
	}
	e := expired(r.cfg.Ring.Log(), record)
	if err := r.cfg.Recorder.Record(ctx, e); err != nil {
		return fmt.Errorf("record a deletion, which is not done: %w", err)
	}
	if err := r.sealed.PutLeaves(ctx, record, leaves); err != nil {
		return err
	}
	id := uuid.MustParse(event.NewID(record.Tenant, Source, e.Source.EventID, e.Time))
	if err := r.sealed.PutRetention(ctx, record, signed, id, time.Unix(0, 0)); err != nil {
		return err
	}
	r.cfg.Logger.Info("the time of records is over", "tenant", record.Tenant, "kind", record.Kind, "days", record.Days, "tree", record.Tree.String(),
		"first_offset", record.First, "last_offset", record.Last, "records", record.Count, "record", record.ID)
	return nil
}

// expired is the event of a deletion: it says what the signed record says.
func expired(log string, record *seal.Retention) *event.Event {
	return &event.Event{
		Kind: event.Session, Type: TypeExpired, Time: event.TimeOf(record.Time), Tenant: record.Tenant, Source: event.Source{EventID: record.ID.String()}, Outcome: event.Success,
		Subject: event.Party{Sub: Source, Type: event.Service}, Server: event.Server{ID: Source},
		Correlation: event.Correlation{SessionID: record.ID.String()},
		Attributes: map[string]string{
			"record": record.ID.String(), "origin": record.Tree.Origin(log), "first_offset": fmt.Sprint(record.First), "last_offset": fmt.Sprint(record.Last), "records": fmt.Sprint(record.Count),
			"digest": record.Digest.String(), "before": record.Before.Format(time.RFC3339Nano), attrKind: record.Kind, attrDays: fmt.Sprint(record.Days),
		},
	}
}
