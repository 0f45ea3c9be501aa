package table_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

func stored(offset int64, e *event.Event) *table.Record {
	return &table.Record{
		Position: table.Position{Topic: "custody.events", Epoch: "e", Partition: 3, Offset: offset}, LogTime: e.ObservedTime.Go(),
		State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), LeafHash: [32]byte{31: 7}, Event: e,
	}
}

// Every column of the table but stored_time is written, as the type that it has.
func TestColumns(t *testing.T) {
	c := embeddedtest.StartClickHouse(t)
	rows, err := c.Conn(embedded.Analyst).Query(t.Context(), "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'records' AND name != 'stored_time'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	want := map[string]string{}
	for rows.Next() {
		var name, typ string
		if err := rows.Scan(&name, &typ); err != nil {
			t.Fatal(err)
		}
		want[name] = typ
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, table.Columns()); diff != "" {
		t.Errorf("columns of the table (-) and of a block (+):\n%s", diff)
	}
}

// What a block holds comes back from ClickHouse: what an event says, for every
// mix of rows that have a part and rows that have not, and dictionaries of one,
// two and four bytes.
func TestBlock(t *testing.T) {
	c := embeddedtest.StartClickHouse(t)
	var records []*table.Record
	add := func(e *event.Event) { records = append(records, stored(int64(len(records)), e)) }
	for _, e := range story.Events() {
		add(e)
	}
	records = append(records, &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Partition: 3, Offset: int64(len(records))},
		State: table.Malformed, Problem: "not JSON", Raw: []byte("{")})
	call := story.Named("deploy-call")
	for i := range 70_000 {
		e := new(event.Event)
		*e = *call
		e.Server.Name = fmt.Sprint("server-", i)
		e.Tool.Name = fmt.Sprint("tool-", i%1000)
		e.Chain = e.Chain[:min(i%3, len(e.Chain))]
		e.Attributes = map[string]string{"n": fmt.Sprint(i)}
		if i%2 == 0 {
			e.Token, e.Exchange = event.Token{}, event.Exchange{}
		}
		add(e)
	}
	c.Store(t, records...)

	rows, err := c.Conn(embedded.Admin).Query(t.Context(), `SELECT offset, raw, state, problem, toString(id), kind, subject_sub, server_name, tool_name, token_ref, token_scope, chain_sub, chain_type, attributes, tool_duration_ms,
		toUnixTimestamp64Micro(time), toUnixTimestamp64Milli(log_time), client_verified, leaf_hash FROM records ORDER BY offset`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	type row struct {
		Offset                                                            uint64
		Raw, State, Problem, ID, Kind, Subject, Server, Tool, Token, Leaf string
		Scope, ChainSub, ChainType                                        []string
		Attributes                                                        map[string]string
		Duration                                                          uint64
		Time, LogTime                                                     int64
		Verified                                                          bool
	}
	n := 0
	for ; rows.Next(); n++ {
		var got row
		if err := rows.Scan(&got.Offset, &got.Raw, &got.State, &got.Problem, &got.ID, &got.Kind, &got.Subject, &got.Server, &got.Tool, &got.Token, &got.Scope, &got.ChainSub, &got.ChainType,
			&got.Attributes, &got.Duration, &got.Time, &got.LogTime, &got.Verified, &got.Leaf); err != nil {
			t.Fatal(err)
		}
		r := records[n]
		e := r.Event
		if e == nil {
			e = &event.Event{ID: "00000000-0000-0000-0000-000000000000"}
		}
		want := row{Offset: uint64(r.Offset), Raw: string(r.Raw), State: r.State.String(), Problem: r.Problem, ID: e.ID, Kind: string(e.Kind), Subject: e.Subject.Sub, Server: e.Server.Name,
			Tool: e.Tool.Name, Token: e.Token.Ref, Leaf: string(r.LeafHash[:]), Scope: append([]string{}, e.Token.Scope...), ChainSub: []string{}, ChainType: []string{}, Attributes: map[string]string{},
			Duration: uint64(e.Tool.DurationMS), Time: int64(e.Time), Verified: e.Client.Verified}
		if !r.LogTime.IsZero() {
			want.LogTime = r.LogTime.UnixMilli()
		} else {
			want.LogTime = got.LogTime // before 1970: ClickHouse keeps the nearest it has
		}
		for _, l := range e.Chain {
			want.ChainSub, want.ChainType = append(want.ChainSub, l.Sub), append(want.ChainType, string(l.Type))
		}
		for k, v := range e.Attributes {
			want.Attributes[k] = v
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("record %d (-want +got):\n%s", n, diff)
		}
	}
	if err := rows.Err(); err != nil || n != len(records) {
		t.Fatalf("%d rows of %d: %v", n, len(records), err)
	}
}

// A block that is used again holds nothing of before.
func TestBlockReset(t *testing.T) {
	b := table.NewBlock()
	full, bare := stored(0, story.Named("deploy-call")), &table.Record{Position: table.Position{Topic: "t", Epoch: "e"}, State: table.Malformed, Problem: "p", Raw: []byte("{")}
	fresh := table.NewBlock()
	fresh.Add(bare)
	for range 3 {
		b.Reset()
		b.Add(full)
		b.Reset()
		b.Add(bare)
		want, _ := fresh.Insert("records")
		got, columns := b.Insert("records")
		if got != want {
			t.Errorf("columns left from before:\n%s\nwant\n%s", got, want)
		}
		for _, c := range columns {
			if c.Data.Rows() != 1 {
				t.Errorf("%s has %d rows", c.Name, c.Data.Rows())
			}
		}
	}
}
