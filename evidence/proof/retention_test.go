package proof_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/retain"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// sent hands the events of deletions to the broker.
type sent struct{ *estate }

// Record implements [retain.Recorder].
func (s sent) Record(_ context.Context, e *event.Event) error {
	s.send(s.complete(e))
	return nil
}

// complete makes an event as the collector does.
func (e *estate) complete(x *event.Event) *event.Event {
	x.SchemaVersion, x.ObservedTime, x.Salt, x.Source.ID, x.Source.Type = event.SchemaVersion, event.TimeOf(time.Now()), event.NewSalt(), retain.Source, retain.Source
	x.ID = event.NewID(x.Tenant, retain.Source, x.Source.EventID, x.Time)
	return x
}

// A bundle of a range of which records were deleted by policy is made and is intact,
// for both verifiers: what is gone is withheld as no event, and proven to have been there.
func TestRangeAfterRetention(t *testing.T) {
	e := newEstate(t, false)
	e.send(story.Events()...)
	act := &retain.Act{ID: uuid.New(), Tenant: "initech", Time: time.Now().UTC().Truncate(time.Microsecond), Action: string(retain.Set), Kind: string(event.ToolInvocation), Days: 1, Reason: "policy 12"}
	e.send(e.complete(&event.Event{Kind: event.Session, Type: retain.TypeChange, Time: event.TimeOf(act.Time), Tenant: act.Tenant, Source: event.Source{EventID: act.ID.String()}, Outcome: event.Success,
		Subject: event.Party{Sub: "root", Type: event.Human}, Correlation: event.Correlation{SessionID: "s"}, Attributes: act.Attributes()}))
	stored, gone := count(e, "1"), count(e, "tenant = 'initech' AND kind = 'tool_invocation'")
	var at string
	if err := e.admin.QueryRow(t.Context(), "SELECT concat(toString(partition), ':', toString(min(offset)), '-', toString(max(offset) + 1)) FROM events WHERE tenant = 'initech' AND kind = 'tool_invocation' GROUP BY partition ORDER BY count() DESC LIMIT 1").Scan(&at); err != nil {
		t.Fatal(err)
	}
	before := e.intact(e.export(e.request("", "initech", at)))
	r, err := retain.New(retain.Config{ClickHouse: e.ClickHouse.Conn(embedded.Retainer), Key: e.key, Ring: e.ring(), Folder: e.folder, Recorder: sent{e},
		Now: func() time.Time { return time.Now().AddDate(0, 0, 2) }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := r.Once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rep.Deleted < gone || gone == 0 || count(e, "tenant = 'initech' AND kind = 'tool_invocation'") != 0 || count(e, "1") != stored-gone+uint64(len(rep.Signed)) {
		t.Errorf("%d deleted, want %d; %d events of %d", rep.Deleted, gone, count(e, "1"), stored)
	}
	bundle := e.export(e.request("", "initech", at))
	after := e.intact(bundle, checkpoints(t, bundle)...)
	was, is := before.Trees[0].Range, after.Trees[0].Range
	if is.Disclosed >= was.Disclosed || is.NoEvent-was.NoEvent != was.Disclosed-is.Disclosed || is.OtherTenants != was.OtherTenants {
		t.Errorf("before %+v, after %+v", was, is)
	}
	if r := judged(t, bundle, e.policyText()); !r.Intact || bytes.Contains(bundle, []byte(`"kind":"tool_invocation"`)) {
		t.Errorf("the bundle: %+v", r.Problems)
	}
}
