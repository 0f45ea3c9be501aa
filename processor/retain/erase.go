package retain

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/table"
)

// PersonOf is what an act names somebody by who is to be erased: it stays for ever, so
// it is a digest, which only who knows the name can recognise.
func PersonOf(subject string) string {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	text := hex.EncodeToString(salt)
	sum := sha256.Sum256([]byte(text + subject))
	return text + ":" + hex.EncodeToString(sum[:])
}

// validPerson tells whether an act names anybody.
func validPerson(person string) bool {
	salt, hash, ok := strings.Cut(person, ":")
	return ok && len(salt) == 32 && len(hash) == 64 && strings.Trim(salt+hash, "0123456789abcdef") == ""
}

// settled is for how long an erasure is looked at again: records that were on their
// way come within it.
const settled = 7 * 24 * time.Hour

// erasing are the erasures that there may be something left of: new ones, and those
// that a hold may have kept.
func (s *State) erasing(now time.Time) []*Act {
	return slices.DeleteFunc(slices.Clone(s.Erasures), func(a *Act) bool {
		return len(s.Holds) == 0 && now.Sub(a.Time) > settled && now.Sub(s.released) > settled
	})
}

// is tells in SQL whether a text is the person of an act.
func (a *Act) is(expression string) string {
	return "lower(hex(SHA256(concat({salt:String}, " + expression + ")))) = {hash:String}"
}

// among tells in SQL whether one of several texts is the person of an act, or names
// them as rules and facts do, as SUB@ISS or as a path of such.
func (a *Act) among(texts string) string {
	return "arrayExists(x -> " + a.is("x") + " OR arrayExists(p -> arrayExists(i -> substring(p, i, 1) = '@' AND " + a.is("substring(p, 1, i - 1)") +
		", range(1, length(p) + 1)), splitByString(' -> ', x)), " + texts + ")" // a subject and an issuer may each have an @
}

func (a *Act) personValues() clickhouse.Parameters {
	salt, hash, _ := strings.Cut(a.Person, ":")
	return clickhouse.Parameters{"tenant": a.Tenant, "salt": salt, "hash": hash}
}

// named is which records name the person of an act, and came before it.
func (a *Act) named() condition {
	p := a.personValues()
	p["kept"], p["before"] = table.Words(kept), fmt.Sprint(a.Time.UnixMilli())
	return condition{"tenant = {tenant:String} AND type NOT IN {kept:Array(String)} AND log_time < fromUnixTimestamp64Milli({before:Int64}, 'UTC') AND (" + a.is("subject_sub") + " OR " + a.is("actor_sub") + " OR arrayExists(x -> " + a.is("x") + ", chain_sub))", p}
}

// erase signs away what names people who are to be erased. Such a record of a
// deletion has a rule of 0 days.
func (r *Retainer) erase(ctx context.Context, states []*State, heads []head, hold condition, rep *Report) error {
	for _, s := range states {
		for _, a := range s.erasing(r.cfg.Now()) {
			due := a.named()
			maps.Copy(due.values, hold.values)
			for _, h := range heads {
				of := &seal.Retention{Tree: h.tree, Tenant: s.Tenant, Before: a.Time.UTC().Truncate(time.Millisecond)}
				if err := r.tree(ctx, h, of, condition{due.sql + " AND NOT " + hold.sql, due.values}, rep); err != nil {
					return err
				}
			}
			n, err := r.count(ctx, "records", due.sql+" AND "+hold.sql, due.values)
			if err != nil {
				return err
			}
			rep.Held += n
		}
	}
	return nil
}

// unname deletes what is known in sum of people who are to be erased, and what was found about them. While anything
// of their tenant is on hold it stays: what it rests on may be.
func (r *Retainer) unname(ctx context.Context, states []*State) error {
	for _, s := range states {
		if len(s.Holds) > 0 {
			continue
		}
		for _, a := range s.erasing(r.cfg.Now()) {
			if err := r.acquit(ctx, a); err != nil {
				return err
			}
			for _, t := range []struct{ table, where string }{
				{"activity_states", a.is("sub")}, {"activity_days", a.is("sub")}, {"rhythm_states", a.is("sub")}, {"privilege_states", a.is("sub")}, {"token_services", a.is("sub")},
				{"reach_states", a.is("sub") + " OR " + a.is("holder_sub")}, {"reach_days", a.is("sub") + " OR " + a.is("holder_sub")}, {"token_lineage_states", a.is("root_sub")}, {"verdict_states", a.is("subject_sub") + " OR " + a.is("actor_sub")},
				{"first_seen_states", a.is("sub") + " OR " + a.among("object")},
			} {
				if err := r.drop(ctx, t.table, "tenant = {tenant:String} AND ("+t.where+")", a.personValues()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// acquit deletes the findings about a person of an act, with all that was said about them.
func (r *Retainer) acquit(ctx context.Context, a *Act) error {
	p := a.personValues()
	about := "tenant = {tenant:String} AND (" + a.is("subject_sub") + " OR " + a.is("actor_sub") + " OR " + a.among("subject_key") + ")"
	var keys []string
	err := table.Each(clickhouse.Context(ctx, clickhouse.WithParameters(p)), r.cfg.ClickHouse, "SELECT DISTINCT toString(key) FROM finding_states WHERE "+about, func(rows driver.Rows) error {
		keys = append(keys, "")
		return rows.Scan(&keys[len(keys)-1])
	})
	if err != nil {
		return fmt.Errorf("read the findings about a person: %w", err)
	}
	for some := range slices.Chunk(keys, 500) {
		p["keys"] = table.Words(some)
		for _, t := range []string{"finding_history", "finding_dead_letters", "finding_deliveries", "finding_states"} { // what names them last: a pass that dies finds the rest again
			if err := r.drop(ctx, t, "tenant = {tenant:String} AND key IN {keys:Array(String)}", p); err != nil {
				return err
			}
		}
	}
	return nil
}
