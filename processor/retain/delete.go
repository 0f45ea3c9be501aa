package retain

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/table"
)

// finish deletes what is signed and still there, unless it is on hold by now. What
// a record counts for is verified first: a row that somebody put there deletes
// nothing.
func (r *Retainer) finish(ctx context.Context, rep *Report) error {
	all, err := r.sealed.Retentions(ctx, r.cfg.Ring, nil)
	if err != nil {
		return err
	}
	states, err := r.states(ctx) // a hold may have come meanwhile
	if err != nil {
		return err
	}
	hold := held(states)
	var some []*seal.Retention
	var n uint64
	for _, s := range all { // a record is outside ClickHouse before anything is gone
		if s.Problem != nil {
			r.cfg.Logger.Error("a retention record counts for nothing", "record", s.ID, "tenant", s.Tenant, "error", s.Problem)
		}
		if s.Problem != nil || s.Done {
			continue
		}
		if r.cfg.Folder != nil {
			if err := r.cfg.Folder.PutRetention(r.cfg.Ring.Log(), s.Retention, s.Note); err != nil {
				return err
			}
		}
		if some, n = append(some, s.Retention), n+s.Count; n >= r.cfg.Chunk {
			if err := r.delete(ctx, some, hold, rep); err != nil {
				return err
			}
			some, n = nil, 0
		}
	}
	if len(some) == 0 {
		return nil
	}
	return r.delete(ctx, some, hold, rep)
}

// leavesOf are the rows of retained_leaves of some records.
const leavesOf = "FROM retained_leaves WHERE record IN {records:Array(UUID)}"

// there is a row of records that is signed away.
const there = `tenant IN {tenants:Array(String)} AND log_time < fromUnixTimestamp64Milli({before:Int64}, 'UTC') AND offset >= {first:UInt64} AND offset <= {last:UInt64}
	AND (topic, epoch, partition, offset, leaf_hash) IN (SELECT topic, epoch, partition, offset, leaf_hash ` + leavesOf + `)`

// gone is a place in the log at which no record is any more.
const gone = `SELECT epoch, partition, offset ` + leavesOf + ` AND (epoch, partition, offset) NOT IN (SELECT epoch, partition, offset FROM records WHERE ` + there + `)`

// delete deletes the records, and then what stands for each of them elsewhere.
func (r *Retainer) delete(ctx context.Context, some []*seal.Retention, hold condition, rep *Report) error {
	p := clickhouse.Parameters{}
	maps.Copy(p, hold.values)
	var ids, tenants []string
	first, last, before := some[0].First, some[0].Last, some[0].Before
	for _, s := range some {
		ids, first, last = append(ids, s.ID.String()), min(first, s.First), max(last, s.Last)
		if !slices.Contains(tenants, s.Tenant) {
			tenants = append(tenants, s.Tenant)
		}
		if s.Before.After(before) {
			before = s.Before
		}
	}
	p["records"], p["tenants"], p["first"], p["last"], p["before"] = table.Words(ids), table.Words(tenants), fmt.Sprint(first), fmt.Sprint(last), fmt.Sprint(before.UnixMilli())
	was, err := r.count(ctx, "records", there, p)
	if err != nil {
		return err
	}
	if err := r.drop(ctx, "records", there+" AND NOT "+hold.sql, p); err != nil {
		return err
	}
	left, err := r.count(ctx, "records", there, p)
	if err != nil {
		return err
	}
	rep.Deleted += was - min(left, was)
	const tenant = "tenant IN {tenants:Array(String)} AND "
	if err := r.drop(ctx, "event_keys", tenant+"(epoch, partition, offset) IN ("+gone+")", p); err != nil {
		return err
	}
	for _, derived := range []struct{ table, id string }{{"token_issues", "event_id"}, {"verdict_states", "id"}} {
		if err := r.dropIDs(ctx, derived.table, derived.id, tenant+"(tenant, "+derived.id+") IN (SELECT tenant, id "+leavesOf+" AND (epoch, partition, offset) IN ("+gone+"))", p); err != nil {
			return err
		}
	}
	if left > 0 {
		return nil // on hold: looked at again
	}
	return r.done(ctx, some)
}

// done says of records that nothing is left of what they are about.
func (r *Retainer) done(ctx context.Context, some []*seal.Retention) error {
	var ids []string
	for _, s := range some {
		ids = append(ids, s.ID.String())
	}
	const columns = "tenant, id, topic, epoch, partition, base, first_offset, last_offset, count, kind, days, before, digest, time, event_id, note"
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"records": table.Words(ids)}), clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0}))
	err := r.cfg.ClickHouse.Exec(ctx, "INSERT INTO retention_records ("+columns+", deleted_time) SELECT "+columns+", now64(6, 'UTC') FROM retention_records FINAL WHERE id IN {records:Array(UUID)}")
	if err != nil {
		return fmt.Errorf("say that records are deleted: %w", err)
	}
	return nil
}

// forget deletes what is known of people who are erased, and what is counted by the hour of tenants where all kinds have an
// end and nothing is on hold.
func (r *Retainer) forget(ctx context.Context) error {
	states, err := r.states(ctx)
	if err != nil {
		return err
	}
	if err := r.unname(ctx, states); err != nil {
		return err
	}
	for _, s := range states {
		days := s.longest()
		if days == 0 || len(s.Holds) > 0 {
			continue
		}
		before := r.cfg.Now().AddDate(0, 0, -int(days)).UTC().Truncate(time.Hour)
		p := clickhouse.Parameters{"tenant": s.Tenant, "before": fmt.Sprint(max(before.Unix(), 0))}
		for _, t := range []struct{ table, over string }{
			{"activity_states", "hour < fromUnixTimestamp({before:UInt32})"}, {"rhythm_states", "hour < fromUnixTimestamp({before:UInt32})"}, {"coverage_states", "hour < fromUnixTimestamp({before:UInt32})"},
			{"reach_states", "hour < fromUnixTimestamp({before:UInt32})"}, {"reach_days", "day < toDate(fromUnixTimestamp({before:UInt32}), 'UTC')"},
			{"activity_days", "day < toDate(fromUnixTimestamp({before:UInt32}), 'UTC')"},
		} {
			if err := r.drop(ctx, t.table, "tenant = {tenant:String} AND "+t.over, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Retainer) count(ctx context.Context, table, where string, p clickhouse.Parameters) (uint64, error) {
	return countOn(ctx, r.cfg.ClickHouse, table, where, p)
}

func countOn(ctx context.Context, conn driver.Conn, table, where string, p clickhouse.Parameters) (n uint64, err error) {
	if err := conn.QueryRow(clickhouse.Context(ctx, clickhouse.WithParameters(p)), "SELECT count() FROM "+table+" WHERE "+where).Scan(&n); err != nil {
		return 0, fmt.Errorf("count rows of %s: %w", table, err)
	}
	return n, nil
}

// drop deletes rows, if there are any, from the disk and not only from sight: parts
// are written anew without them. On a cluster each shard deletes its own, by leaves
// and records that lie beside them.
func (r *Retainer) drop(ctx context.Context, table, where string, p clickhouse.Parameters) error {
	n, err := r.count(ctx, table, where, p)
	if err != nil || n == 0 {
		return err
	}
	servers, settings := []driver.Conn{r.cfg.ClickHouse}, clickhouse.Settings{"mutations_sync": 2}
	if r.cfg.Shards != nil {
		if servers, err = r.cfg.Shards(ctx); err != nil {
			return fmt.Errorf("delete from %s: %w", table, err)
		}
		table, where = table+"_local", besides.ReplaceAllString(where, "${0}_local")
		if err := r.whole(ctx, servers, table, where, p, n); err != nil {
			return err
		}
		settings["allow_nondeterministic_mutations"] = 1 // replicas ask the same rows, each for itself
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(p), clickhouse.WithSettings(settings))
	for _, server := range servers {
		if err := server.Exec(ctx, "ALTER TABLE "+table+" DELETE WHERE "+where); err != nil {
			return fmt.Errorf("delete from %s: %w", table, err)
		}
	}
	return nil
}

// besides are the tables that lie on a shard with what is deleted by them.
var besides = regexp.MustCompile(`FROM (retained_leaves|records)\b`)

// whole tells whether the shards hold among them what all of the cluster was found to
// hold, so that none is left out.
func (r *Retainer) whole(ctx context.Context, servers []driver.Conn, table, where string, p clickhouse.Parameters, want uint64) error {
	var there uint64
	for _, server := range servers {
		n, err := countOn(ctx, server, table, where, p)
		if err != nil {
			return err
		}
		there += n
	}
	if there != want {
		return fmt.Errorf("delete from %s: the shards hold %d rows of it, the cluster %d: it is tried again", table, there, want)
	}
	return nil
}

// dropIDs deletes rows by the ids of events. On a cluster they lie on other shards than
// what tells which they are, so they are asked for first; with their tenants, as two
// tenants' events may have one id.
func (r *Retainer) dropIDs(ctx context.Context, name, id, where string, p clickhouse.Parameters) error {
	if r.cfg.Shards == nil {
		return r.drop(ctx, name, where, p)
	}
	pair := "concat(tenant, ' ', toString(" + id + "))"
	var ids []string
	err := each(ctx, r.cfg.ClickHouse, "SELECT DISTINCT "+pair+" FROM "+name+" WHERE "+where, p, func(rows driver.Rows) error {
		ids = append(ids, "")
		return rows.Scan(&ids[len(ids)-1])
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(ids, idsOfStatement) {
		if err := r.drop(ctx, name, "tenant IN {tenants:Array(String)} AND "+pair+" IN {ids:Array(String)}", clickhouse.Parameters{"tenants": p["tenants"], "ids": table.Words(some)}); err != nil {
			return err
		}
	}
	return nil
}

// idsOfStatement bounds a statement to some 6 MB.
const idsOfStatement = 100_000
