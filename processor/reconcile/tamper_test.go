package reconcile_test

import (
	"fmt"
	"testing"
)

const (
	leafHash = "leaf_hash = SHA256(concat(char(0), raw))"
	forged   = `replaceOne(raw, 'record', 'forged')`
)

// Whatever is done to stored records is found and named in one cycle: partition,
// offsets, kind. Each case begins with 3 partitions of 3,300 records from
// offset 100 on, sealed every 300; statements are those of an administrator.
func TestTampering(t *testing.T) {
	shared := newBench(t)
	shared.grow(11, 300, 0, 1, 2)
	shared.keep()
	for _, c := range []struct {
		name   string
		tamper []string
		want   []string
	}{
		{"nothing", nil, nil},
		{"one record edited", []string{
			`ALTER TABLE records UPDATE raw = ` + forged + ` WHERE partition = 1 AND offset = 400`},
			[]string{"edited 1: 400-400"}},
		{"many edited", []string{
			`ALTER TABLE records UPDATE raw = ` + forged + ` WHERE partition = 1 AND offset >= 400 AND offset < 1400`},
			[]string{"edited 1: 400-1399"}},
		{"the newest edited, of no whole group", []string{
			`ALTER TABLE records UPDATE raw = ` + forged + ` WHERE partition = 2 AND offset = 3399`},
			[]string{"edited 2: 3399-3399"}},
		{"edited with its leaf hash: its group of 256", []string{
			`ALTER TABLE records UPDATE raw = ` + forged + ` WHERE partition = 1 AND offset = 1000`,
			`ALTER TABLE records UPDATE ` + leafHash + ` WHERE partition = 1 AND offset = 1000`},
			[]string{"edited 1: 868-1123"}},
		{"edited with its leaf hash and every node over it: the second it was sealed in", []string{
			`ALTER TABLE records UPDATE raw = ` + forged + ` WHERE partition = 1 AND offset = 1150`,
			`ALTER TABLE records UPDATE ` + leafHash + ` WHERE partition = 1 AND offset = 1150`,
			`ALTER TABLE tree_nodes DELETE WHERE partition = 1`},
			[]string{"edited 1: 1000-1299"}},
		{"the newest with its leaf hash", []string{
			`ALTER TABLE records UPDATE raw = ` + forged + ` WHERE partition = 2 AND offset = 3399`,
			`ALTER TABLE records UPDATE ` + leafHash + ` WHERE partition = 2 AND offset = 3399`},
			[]string{"edited 2: 3100-3399"}},
		{"leaf hash edited", []string{
			`ALTER TABLE records UPDATE leaf_hash = reverse(leaf_hash) WHERE partition = 0 AND offset = 500`},
			[]string{"edited 0: 500-500"}},
		{"two records exchanged", []string{
			copyRow("501", "raw", 0, 500), copyRow("500", "raw", 0, 501), `ALTER TABLE records DELETE WHERE partition = 0 AND offset IN (500, 501) AND raw LIKE concat('%:', toString(offset - 100), '}')`},
			[]string{"edited 0: 356-611"}},
		{"one deleted", []string{
			`ALTER TABLE records DELETE WHERE partition = 1 AND offset = 1234`},
			[]string{"deleted 1: 1234-1234"}},
		{"some deleted", []string{
			`DELETE FROM records WHERE partition IN (0, 2) AND offset >= 1000 AND offset < 2000`},
			[]string{"deleted 0: 1000-1999", "deleted 2: 1000-1999"}},
		{"the newest deleted", []string{
			`ALTER TABLE records DELETE WHERE partition = 1 AND offset >= 3390`},
			[]string{"deleted 1: 3390-3399"}},
		{"a partition deleted", []string{
			`ALTER TABLE records DELETE WHERE partition = 1`},
			[]string{"deleted 1: 100-3399"}},
		{"one of a tenant deleted, another edited, of one group", []string{
			`ALTER TABLE records DELETE WHERE partition = 1 AND offset = 1234 AND tenant = 'acme'`,
			`ALTER TABLE records UPDATE raw = ` + forged + ` WHERE partition = 1 AND offset = 1235`},
			[]string{"deleted 1: 1234-1234", "edited 1: 1235-1235"}},
		{"a row inserted before the first", []string{
			copyRow("offset - 50", "raw", 1, 120)},
			[]string{"inserted 1: 70-70"}},
		{"a row inserted in an epoch of its own", []string{
			`INSERT INTO records (topic, epoch, partition, offset, log_time, stored_time, state, raw, tenant) VALUES ('custody.events', 'ffffffffffffffff', 1, 7, now(), now() - 3600, 'stored', 'x', 'acme')`},
			[]string{"inserted 1: 7-7"}},
		{"a row inserted behind the last", []string{
			`INSERT INTO records (topic, epoch, partition, offset, log_time, stored_time, state, raw, tenant) VALUES ('custody.events', '000000000000000b', 1, 3400, now(), now() - 3600, 'stored', 'x', 'acme')`},
			[]string{"inserted 1: 3400-3400"}},
		{"a second row with other bytes", []string{
			copyRow("offset", forged, 1, 700)},
			[]string{"inserted 1: 700-700"}},
		{"a row twice", []string{
			copyRow("offset", "raw", 1, 700)},
			[]string{"duplicated 1: 700-700"}},
		{"a record hidden as a repetition", []string{
			`ALTER TABLE records UPDATE state = 'duplicate' WHERE partition = 1 AND offset = 700`},
			[]string{"hidden 1: 700-700"}},
		{"nodes edited", []string{
			`ALTER TABLE tree_nodes UPDATE hash = reverse(hash) WHERE partition = 1 AND level = 8 AND index = 3`},
			[]string{"nodes 1: 868-1123"}},
		{"checkpoints edited", []string{
			`ALTER TABLE checkpoints UPDATE note = replaceOne(note, '3300', '3301') WHERE partition = 1`},
			[]string{"checkpoint 1: 100-100"}},
		{"checkpoints, nodes and records of the last second deleted", []string{
			`ALTER TABLE records DELETE WHERE offset >= 3100`, `ALTER TABLE tree_nodes DELETE WHERE level = 8 AND index >= 11`, `ALTER TABLE checkpoints DELETE WHERE size > 3000`},
			[]string{"restored 0: 3100-3399", "restored 1: 3100-3399", "restored 2: 3100-3399"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := *shared
			b.T = t
			b.restore()
			r := b.reconciler(nil)
			b.want("before", b.found(r))
			b.do(c.tamper...)
			b.want("after", b.found(r), c.want...)
			b.want("for one that was not there before", b.found(b.reconciler(nil)), c.want...)
		})
	}
}

// copyRow inserts a row like another, changed.
func copyRow(offset, raw string, partition, of int) string {
	return fmt.Sprintf(`INSERT INTO records (topic, epoch, partition, offset, log_time, state, leaf_hash, raw, tenant, id)
		SELECT topic, epoch, partition, %s, log_time, state, SHA256(concat(char(0), %s)), %[2]s, tenant, id FROM records WHERE partition = %d AND offset = %d`, offset, raw, partition, of)
}
