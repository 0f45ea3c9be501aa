package retain_test

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/retain"
	"github.com/custody-audit/custody/processor/seal"
)

// Records whose time is over go, with a signed record of it, and the tree can be
// proven and reconciled as before. What a hold keeps stays, and other tenants',
// other kinds' and newer ones.
func TestExpiry(t *testing.T) {
	b := newBench(t)
	all := b.count("SELECT count() FROM records")
	rule := b.say(retain.Act{Tenant: "acme", Action: string(retain.Set), Kind: "tool_invocation", Days: 30}, false)
	b.deletes(0, 0) // somebody may have written it beside: its event is not there
	hold := b.say(retain.Act{Tenant: "acme", Action: string(retain.Held), Subject: "alice"}, false)
	b.arrive(rule)
	gone := expected(func(tenant, subject, kind string) bool {
		return tenant == "acme" && kind == "tool_invocation" && subject != "alice"
	})
	kept := expected(func(tenant, subject, kind string) bool {
		return tenant == "acme" && kind == "tool_invocation" && subject == "alice"
	})
	rep := b.deletes(gone, kept)
	if len(rep.Signed) != int(gone+69)/70 || len(b.recorded) != len(rep.Signed) {
		t.Errorf("%d signed records, %d events", len(rep.Signed), len(b.recorded))
	}
	for i, e := range b.recorded {
		if e.Tenant != "acme" || e.Type != retain.TypeExpired || e.Attributes["digest"] != rep.Signed[i].Digest.String() {
			t.Errorf("recorded %+v", e)
		}
	}
	if n := b.count("SELECT count() FROM records"); n != all+1-gone { // the rule is an event
		t.Errorf("%d records, want %d", n, all+1-gone)
	}
	if keys, events := b.count("SELECT count() FROM event_keys"), b.count("SELECT count() FROM events WHERE token_ref != ''"); keys != events {
		t.Errorf("%d keys of %d events", keys, events)
	}
	b.reconciles("a rule's deletions")
	b.proves()
	b.deletes(0, kept) // nothing is due twice
	release := b.say(retain.Act{Tenant: "acme", Action: string(retain.Released), Hold: hold.ID}, false)
	b.deletes(0, kept)
	b.arrive(release)
	b.deletes(kept, 0)
	b.reconciles("what a hold had kept")
	b.say(retain.Act{Tenant: "acme", Action: string(retain.Set), Days: 30}, true) // all other kinds
	b.deletes(half/2-gone-kept, 0)
	if n := b.count("SELECT count() FROM records WHERE topic = 'custody.events' AND tenant = 'globex'"); n != half {
		t.Errorf("%d records of another tenant, want %d", n, half)
	}
	b.reconciles("everything of a tenant")
	b.proves()
}

// proves proves every leaf, deleted or not, in the signed tree.
func (b *bench) proves() {
	b.Helper()
	note, err := seal.NewStore(b.writer).Newest(b.Context(), tree)
	if err != nil {
		b.Fatal(err)
	}
	c, _, err := b.ring.OpenCheckpoint(note)
	if err != nil || c.Size != 2*half {
		b.Fatalf("checkpoint of %d: %v", c.Size, err)
	}
	for index := uint64(0); index < c.Size; index += 7 {
		p, err := seal.NewStore(b.writer).ProveInclusion(b.Context(), tree, c.Size, index)
		if err == nil {
			err = tlog.CheckRecord(p, int64(c.Size), c.Root, int64(index), tlog.RecordHash(fmt.Appendf(nil, `{"record":%d}`, tree.Base+index)))
		}
		if err != nil {
			b.Fatalf("leaf %d: %v", index, err)
		}
	}
}

// Records that are gone without a signed record of it were deleted by somebody, and
// a record that does not verify explains nothing.
func TestDeletionByHand(t *testing.T) {
	b := newBench(t)
	b.say(retain.Act{Tenant: "acme", Action: string(retain.Set), Days: 30}, true)
	b.deletes(half/2, 0)
	b.do("ALTER TABLE records DELETE WHERE offset = 201 SETTINGS mutations_sync = 2")
	b.reconciles("by hand beside", "deleted 201-201")
	// a record that the log's key did not sign
	b.do(`INSERT INTO retained_leaves SELECT 'globex', topic, epoch, partition, 201, SHA256('\0{"record":201}'), id, toUUID('00000000-0000-4000-8000-000000000001') FROM retained_leaves LIMIT 1`)
	b.reconciles("with a leaf of no record", "deleted 201-201")
	b.do(`INSERT INTO retention_records SELECT * REPLACE (toUUID('00000000-0000-4000-8000-000000000001') AS id, 'globex' AS tenant, 201 AS first_offset, 201 AS last_offset, 1 AS count) FROM retention_records FINAL LIMIT 1`)
	b.reconciles("with another's signed record", "deleted 201-201", "retention 201-201")
	b.do(`ALTER TABLE retention_records DELETE WHERE id = '00000000-0000-4000-8000-000000000001' SETTINGS mutations_sync = 2`)
	// a signed record of which one more leaf is claimed
	b.do(`INSERT INTO retained_leaves SELECT 'acme', topic, epoch, partition, 201, SHA256('\0{"record":201}'), id, (SELECT id FROM retention_records ORDER BY first_offset LIMIT 1) FROM retained_leaves LIMIT 1`)
	r := b.signed()
	if got := b.kinds(); got["deleted"] == 0 || got["retention"] != 1 {
		t.Errorf("with a leaf more: %v", got)
	}
	b.do("ALTER TABLE retained_leaves DELETE WHERE offset = 201 SETTINGS mutations_sync = 2")
	b.reconciles("as before", "deleted 201-201")
	b.do(fmt.Sprintf("ALTER TABLE retention_records DELETE WHERE id = '%s' SETTINGS mutations_sync = 2", r.ID))
	if got := b.kinds(); got["deleted"] == 0 || got["retention"] != 1 {
		t.Errorf("without a record: %v", got)
	}
}

// A row that somebody puts where one was deleted is seen, and a leaf that was altered
// before its time was over is not laundered.
func TestAlteredBefore(t *testing.T) {
	b := newBench(t)
	b.do(`ALTER TABLE records UPDATE raw = 'forged' WHERE offset = 200 SETTINGS mutations_sync = 2`)
	b.do(`ALTER TABLE records UPDATE raw = 'forged', leaf_hash = SHA256('\0forged') WHERE offset = 400 SETTINGS mutations_sync = 2`)
	b.say(retain.Act{Tenant: "acme", Action: string(retain.Set), Days: 30}, true)
	b.deletes(half/2-1, 0) // offset 200 stays
	b.reconciles("altered before", "edited 200-200", "edited 356-611")
	b.do(`INSERT INTO records (topic, epoch, partition, offset, log_time, state, leaf_hash, raw, tenant) SELECT topic, epoch, partition, 300, log_time, state, SHA256('\0new'), 'new', tenant FROM records WHERE offset = 301`)
	b.reconciles("put there since", "edited 200-200", "edited 356-611", "inserted 300-300")
	b.do(`ALTER TABLE records UPDATE state = 'duplicate' WHERE offset = 1001 SETTINGS mutations_sync = 2`)
	b.do(`INSERT INTO retained_leaves (tenant, topic, epoch, partition, offset, id, record) SELECT tenant, topic, 'x', partition, offset, id, generateUUIDv4() FROM records WHERE offset = 1001`)
	b.reconciles("hidden behind a leaf of no record", "edited 200-200", "edited 356-611", "hidden 1001-1001", "inserted 300-300")
}

// A hold that comes while a pass runs keeps what is signed away already, and a
// deletion that cannot be recorded is not done.
func TestHoldDuringPass(t *testing.T) {
	b := newBench(t)
	b.say(retain.Act{Tenant: "acme", Action: string(retain.Set), Days: 30}, true)
	b.onRecord = func() error { return errors.New("kafka is away") }
	if _, err := b.pass(); err == nil {
		t.Fatal("a deletion that is not recorded is done")
	}
	var hold *retain.Act
	b.onRecord = func() error {
		if hold == nil {
			hold = b.say(retain.Act{Tenant: "acme", Action: string(retain.Held)}, false)
		}
		return nil
	}
	rep := b.deletes(0, 0)
	if len(rep.Signed) == 0 || b.count("SELECT count() FROM records WHERE topic = 'custody.events'") != 2*half {
		t.Errorf("signed %d", len(rep.Signed))
	}
	b.reconciles("on hold")
	b.say(retain.Act{Tenant: "acme", Action: string(retain.Released), Hold: hold.ID}, true)
	if rep := b.deletes(half/2, 0); len(rep.Signed) != 0 {
		t.Errorf("%d signed twice", len(rep.Signed))
	}
	b.reconciles("released")
}

// A person is erased: nothing of the tenant names her any more, not even the act, and
// the tree is proven and reconciled as before. A hold comes first.
func TestErasure(t *testing.T) {
	b := newBench(t)
	b.do("INSERT INTO activity_states (tenant, iss, sub, hour) SELECT tenant, 'i', subject_sub, now() FROM events")
	b.do("INSERT INTO first_seen_states (tenant, what, iss, sub, object) SELECT tenant, 'path', 'i', 'planner', [concat(subject_sub, '@https://idp@x')] FROM events")
	b.do("INSERT INTO finding_states (tenant, key, rule, subject_key, title, summary, subject_sub) SELECT arrayJoin(['acme', 'globex']), lower(hex(SHA256(who.1))), 'r', [who.1], 't', concat(who.2, ' did'), who.2 FROM (SELECT arrayJoin([('alice@https://idp', ''), ('k', 'alice'), ('planner@i -> alice@i', ''), ('l', 'bob'), ('al@ice@i', ''), ('alice.b@i', '')]) AS who)")
	b.do("INSERT INTO finding_history (tenant, key, time, id, action, comment) SELECT tenant, key, now(), generateUUIDv4(), 'commented', 'ask alice' FROM finding_states WHERE subject_sub = 'alice'")
	b.do("INSERT INTO finding_dead_letters (tenant, time, key, payload) SELECT tenant, now(), key, 'alice' FROM finding_states WHERE subject_sub = 'alice'")
	hold := b.say(retain.Act{Tenant: "acme", Action: string(retain.Held)}, true)
	act := b.say(retain.Act{Tenant: "acme", Action: string(retain.Erased), Person: retain.PersonOf("alice")}, false)
	b.deletes(0, 0) // the act is on its way
	b.arrive(act)
	alices := b.count("SELECT count() FROM records WHERE tenant = 'acme' AND subject_sub = 'alice'")
	b.deletes(0, alices)
	b.say(retain.Act{Tenant: "acme", Action: string(retain.Released), Hold: hold.ID}, true)
	b.deletes(alices, 0)
	others := b.count("SELECT count() FROM records WHERE topic = 'custody.events'")
	if others != 2*half-alices || alices == 0 || b.count("SELECT count() FROM records WHERE tenant = 'globex' AND subject_sub = 'alice'") == 0 {
		t.Errorf("%d records of %d, %d of alice", others, 2*half, alices)
	}
	rows, err := b.admin.Query(t.Context(), "SELECT DISTINCT table FROM system.columns WHERE database = currentDatabase() AND name = 'tenant' AND table NOT IN (SELECT name FROM system.tables WHERE engine LIKE '%View')")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	tables := 0
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables++
		if n := b.count("SELECT count() FROM " + name + " WHERE tenant = 'acme' AND toString(tuple(*)) LIKE '%alice%' AND toString(tuple(*)) NOT LIKE '%alice.b%'"); n != 0 {
			t.Errorf("%d rows of %s name her", n, name)
		}
	}
	if tables < 20 || b.count("SELECT count() FROM activity_states WHERE tenant = 'acme' AND sub = 'bob'") == 0 || b.count("SELECT count() FROM first_seen_states WHERE tenant = 'acme'") == 0 {
		t.Errorf("%d tables, or too much is gone", tables)
	}
	if acme, globex := b.count("SELECT count() FROM findings WHERE tenant = 'acme'"), b.count("SELECT count() FROM findings WHERE tenant = 'globex'"); acme != 3 || globex != 6 {
		t.Errorf("%d findings about others are left, want 3; %d of the other tenant, want 6", acme, globex)
	}
	b.reconciles("a person erased")
	b.proves()
}
