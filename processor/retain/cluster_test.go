package retain_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/retain"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/table"
)

// On a cluster what is due goes from every shard, with what stands for it on others;
// a shard that cannot be reached is an error before anything is deleted.
func TestCluster(t *testing.T) {
	nodes := embeddedtest.StartNodes(t, 2)
	var conns []driver.Conn
	for _, x := range nodes {
		if err := x.Open(t, "", nil).Exec(t.Context(), "CREATE DATABASE custody ENGINE = Atomic"); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, x.Open(t, "custody", clickhouse.Settings(table.ClusterSettings())))
	}
	cluster := &table.Cluster{Name: "evidence"}
	if _, err := cluster.Migrate(t.Context(), conns); err != nil {
		t.Fatal(err)
	}
	b := newBenchOn(t, func(string) driver.Conn { return conns[0] })
	b.shards = func(ctx context.Context) ([]driver.Conn, error) { return cluster.Shards(ctx, conns) }
	b.chunk = half
	other := *b // the tree of a partition of the other shard
	other.tree.Partition, other.edge = 2, seal.Edge{}
	for _, x := range []*bench{b, &other} {
		x.store(half, time.Now().AddDate(0, 0, -40))
		x.store(half, time.Now())
	}
	b.do("INSERT INTO token_issues (tenant, ref, event_id, type, time) SELECT tenant, token_ref, id, 'x', time FROM records WHERE partition = 1 AND topic = 'custody.events'")
	b.say(retain.Act{Tenant: "acme", Action: string(retain.Set), Days: 30}, true)
	onShards := func(name string) (out []uint64) {
		for _, c := range conns {
			var n uint64
			if err := c.QueryRow(t.Context(), "SELECT count() FROM "+name+"_local WHERE tenant = 'acme'").Scan(&n); err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
		return out
	}
	before := onShards("records")
	b.shards = func(ctx context.Context) ([]driver.Conn, error) { return cluster.Shards(ctx, conns[:1]) }
	if _, err := b.pass(); err == nil || !strings.Contains(err.Error(), "shard 2 has no server") {
		t.Errorf("without a connection to a shard: %v", err)
	}
	b.shards = func(context.Context) ([]driver.Conn, error) { return conns[:1], nil }
	if _, err := b.pass(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the shards hold %d rows of it, the cluster %d", half/2, half)) {
		t.Errorf("with a shard left out: %v", err)
	}
	if after := onShards("records"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Fatalf("%v records on the shards, before the refused passes %v", after, before)
	}
	b.shards = func(ctx context.Context) ([]driver.Conn, error) { return cluster.Shards(ctx, conns) }
	b.deletes(half, 0)
	for name, want := range map[string][]uint64{"records": {before[0] - half/2, before[1] - half/2}, "event_keys": {half / 2, half / 2}} {
		if got := onShards(name); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the shards hold %v rows of %s, want %v", got, name, want)
		}
	}
	issues := onShards("token_issues")
	if issues[0]+issues[1] != half/2 || issues[0] == 0 || issues[1] == 0 {
		t.Errorf("the shards hold %v issues, want %d of both", issues, half/2)
	}
	b.reconciles("a rule's deletions on a cluster")
	b.proves()
	b.deletes(0, 0)
	nodes[1].Kill()
	if _, err := b.pass(); err == nil || !strings.Contains(err.Error(), nodes[1].Addr()) {
		t.Errorf("while a shard is away: %v", err)
	}
}
