package table

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A Cluster is several ClickHouse servers that hold the tables together
// (docs/adr/0029-cluster.md). Each table of the migrations becomes two: one with the
// rows of a shard, its name with _local behind it, and one with its own name, which
// holds nothing and reaches all shards. What stores and asks knows the latter only.
type Cluster struct {
	Name string // in remote_servers
	// Replicated tells that shards have several servers each: their tables are
	// Replicated*MergeTree, which wants ZooKeeper or Keeper and the macros shard and replica.
	Replicated bool
}

// migrations stays one table on each server: what was applied there.
const migrationsTable = "migrations"

var (
	createsTable = regexp.MustCompile(`^CREATE TABLE IF NOT EXISTS (\w+)`)
	altersTable  = regexp.MustCompile(`^ALTER TABLE (\w+)`)
	movesRows    = regexp.MustCompile(`^(CREATE MATERIALIZED VIEW|INSERT)`)
	namesTable   = regexp.MustCompile(`\b(FROM|JOIN|INTO|TO) (\w+)\b`)
	engineOf     = regexp.MustCompile(`(?m)^ENGINE = (\w*MergeTree)(?:\((.*)\))?$`)
	orderOf      = regexp.MustCompile(`(?m)^ORDER BY \(?(.+?)\)?$`)
	hasPartition = regexp.MustCompile(`(?m)^\s+partition\s+UInt32`)
)

// ClusterSettings are those of every connection to a cluster: a sub-query reaches all
// shards and not only that on which it is asked, an insert that is acknowledged is
// stored, what is copied from one table to another goes to the shard that its rows belong
// to and does not stay where it was, and of the replicas of a shard everybody asks the
// same as long as it answers.
func ClusterSettings() map[string]any {
	return map[string]any{"distributed_product_mode": "global", "distributed_foreground_insert": 1, "parallel_distributed_insert_select": 0, "load_balancing": "in_order"}
}

// Statements are what a migration is on one server of the cluster.
func (c *Cluster) Statements(m Migration) ([]string, error) {
	sql := statement(m.SQL)
	tables, err := c.sharding()
	if err != nil {
		return nil, err
	}
	local := func(sql string) string {
		return namesTable.ReplaceAllStringFunc(sql, func(found string) string {
			if _, ours := tables[found[strings.LastIndexByte(found, ' ')+1:]]; ours {
				return found + "_local"
			}
			return found
		})
	}
	if found := createsTable.FindStringSubmatch(sql); found != nil && found[1] != migrationsTable {
		name := found[1]
		return []string{c.engine(strings.Replace(sql, found[0], found[0]+"_local", 1)), c.distributed(name, tables[name])}, nil
	}
	if found := altersTable.FindStringSubmatch(sql); found != nil {
		name := found[1]
		return []string{strings.Replace(sql, found[0], found[0]+"_local", 1), c.distributed(name, tables[name])}, nil
	}
	if movesRows.MatchString(sql) { // within a server: what a view makes of a row is kept beside it
		return []string{local(sql)}, nil
	}
	return []string{sql}, nil
}

// sharding says of each table which rows stay together. A row with a partition of the
// log goes where that partition is, so that a block is one insert on one server, and a
// delegation on one shard; rows that replace each other go by what they are equal in.
func (c *Cluster) sharding() (map[string]string, error) {
	all, err := Migrations()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, m := range all {
		sql := statement(m.SQL)
		found := createsTable.FindStringSubmatch(sql)
		if found == nil || found[1] == migrationsTable {
			continue
		}
		order := orderOf.FindStringSubmatch(sql)
		if order == nil || !engineOf.MatchString(sql) {
			return nil, fmt.Errorf("migration %s: want lines ENGINE = ...MergeTree and ORDER BY", m.Name)
		}
		out[found[1]] = "cityHash64(" + order[1] + ")"
		if hasPartition.MatchString(sql) {
			out[found[1]] = "partition"
		}
	}
	return out, nil
}

func (c *Cluster) engine(sql string) string {
	if !c.Replicated {
		return sql
	}
	sql = strings.Replace(sql, "non_replicated_deduplication_window", "replicated_deduplication_window", 1)
	return engineOf.ReplaceAllStringFunc(sql, func(line string) string {
		found := engineOf.FindStringSubmatch(line)
		args := "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
		if found[2] != "" {
			args += ", " + found[2]
		}
		return "ENGINE = Replicated" + found[1] + "(" + args + ")"
	})
}

// distributed makes the table that reaches all shards anew: it holds nothing.
func (c *Cluster) distributed(name, key string) string {
	return fmt.Sprintf("CREATE OR REPLACE TABLE %[1]s AS %[1]s_local ENGINE = Distributed('%[2]s', currentDatabase(), '%[1]s_local', %[3]s)", name, strings.ReplaceAll(c.Name, "'", "\\'"), key)
}

// Migrate does to all servers of the cluster what [Migrate] does to one: each
// migration on all of them before the next, since replicas want the same tables.
// conns is one connection to each.
func (c *Cluster) Migrate(ctx context.Context, conns []driver.Conn) ([]string, error) {
	return migrate(ctx, conns, c.Statements)
}

// FindCluster asks a server what it knows of a cluster, and how many servers that has.
func FindCluster(ctx context.Context, conn driver.Conn, name string) (*Cluster, int, error) {
	var servers, replicas uint64
	if err := conn.QueryRow(ctx, "SELECT count(), toUInt64(max(replica_num)) FROM system.clusters WHERE cluster = ?", name).Scan(&servers, &replicas); err != nil {
		return nil, 0, fmt.Errorf("look for the cluster %q: %w", name, err)
	}
	if servers == 0 {
		return nil, 0, fmt.Errorf("clickhouse.cluster: no cluster %q in the server's remote_servers", name)
	}
	return &Cluster{Name: name, Replicated: replicas > 1}, int(servers), nil
}

// Shards picks a connection to each shard out of connections to the cluster's servers.
// A server that does not answer is passed over as long as another one has its shard;
// a shard without a server is an error, as what is done on each would be done by half.
func (c *Cluster) Shards(ctx context.Context, conns []driver.Conn) ([]driver.Conn, error) {
	found, shards := map[uint64]driver.Conn{}, uint64(0)
	var errs []error
	for _, conn := range conns {
		var own, known uint64
		err := conn.QueryRow(ctx, "SELECT toUInt64(maxIf(shard_num, is_local)), uniqExact(shard_num) FROM system.clusters WHERE cluster = ?", c.Name).Scan(&own, &known)
		switch {
		case err != nil:
			errs = append(errs, err)
		case own == 0:
			errs = append(errs, errors.New("a server is of none of its shards"))
		case found[own] == nil:
			found[own] = conn
		}
		shards = max(shards, known)
	}
	var out []driver.Conn
	for own := uint64(1); own <= shards; own++ {
		if found[own] == nil {
			errs = append(errs, fmt.Errorf("shard %d has no server that answers", own))
		} else {
			out = append(out, found[own])
		}
	}
	if len(out) < max(int(shards), 1) {
		return nil, fmt.Errorf("reach every shard of the cluster %q by clickhouse.addresses: %w", c.Name, errors.Join(errs...))
	}
	return out, nil
}

var onTable = regexp.MustCompile("^(.* ON `(?:[^`]|``)+`\\.)(\\w+)( .*)$")

// Roles are those of [Roles] for a cluster: whoever may read a table may read its rows
// on each shard, and only those. The writer also asks all servers what still runs.
func (c *Cluster) Roles(database string, tenants []string) ([]string, error) {
	tables, err := c.sharding()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range Roles(database, tenants) {
		out = append(out, s)
		if found := onTable.FindStringSubmatch(s); found != nil && tables[found[2]] != "" {
			out = append(out, found[1]+found[2]+"_local"+found[3])
		}
	}
	return append(out, "GRANT REMOTE ON *.* TO custody_writer", "GRANT SELECT ON system.clusters TO custody_retainer"), nil
}
