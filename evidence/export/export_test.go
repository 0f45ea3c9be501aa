package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/export"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// rows are the story's events as a query returns them.
func rows() []*query.Row {
	var out []*query.Row
	for _, e := range story.Events() {
		out = append(out, &query.Row{Event: e, Raw: e.Canonical(), Facts: query.Facts{ServerOwner: "code@acme.example"}})
	}
	return out
}

func write(t *testing.T, format string, rows []*query.Row) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := export.New(format, &b)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNDJSONIsWhatWasSealed(t *testing.T) {
	all := rows()
	lines := bytes.Split(bytes.TrimSuffix(write(t, "ndjson", all), []byte("\n")), []byte("\n"))
	if len(lines) != len(all) {
		t.Fatalf("%d lines for %d events", len(lines), len(all))
	}
	for i, line := range lines {
		if !bytes.Equal(line, all[i].Raw) {
			t.Fatalf("line %d is not the event's bytes:\n%s\n%s", i, line, all[i].Raw)
		}
	}
}

func TestCSV(t *testing.T) {
	all := rows()
	all[0].Event.UserAgent = `=HYPERLINK("http://evil.example")`
	records, err := csv.NewReader(bytes.NewReader(write(t, "csv", all))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != len(all)+1 {
		t.Fatalf("%d lines for %d events", len(records), len(all))
	}
	cell := func(row int, column string) string {
		i := slices.Index(records[0], column)
		if i < 0 {
			t.Fatalf("no column %s", column)
		}
		return records[row+1][i]
	}
	for i, r := range all {
		e := r.Event
		for column, want := range map[string]string{
			"id": e.ID, "time": e.Time.String(), "subject_sub": e.Subject.Sub, "trace_id": e.Correlation.TraceID, "token_ref": e.Token.Ref,
			"decision_id": e.Decision.ID, "correlation_decision_id": e.Correlation.DecisionID, "tool_duration_ms": fmt.Sprint(e.Tool.DurationMS), "server_owner": r.Facts.ServerOwner,
		} {
			if got := cell(i, column); got != want {
				t.Errorf("row %d, %s: %q, want %q", i, column, got, want)
			}
		}
	}
	if got := cell(0, "user_agent"); got[0] != '\'' {
		t.Errorf("a spreadsheet takes %q for a formula", got)
	}
}

// Columns are named as in ClickHouse, but for what is stored as arrays of columns
// or not at all.
func TestColumnsAreThoseOfClickHouse(t *testing.T) {
	header, err := csv.NewReader(bytes.NewReader(write(t, "csv", nil))).Read()
	if err != nil {
		t.Fatal(err)
	}
	known := table.Columns()
	for _, c := range header {
		if _, ok := known[c]; !ok && !slices.Contains([]string{"chain", "chain_raw", "tool_arguments", "tool_annotations", "decision_obligations", "salt", "sensitivity"}, c) {
			t.Errorf("column %s is not one of records", c)
		}
	}
}

// ClickHouse reads the Parquet file, and finds in it what the events say.
func TestParquet(t *testing.T) {
	all := rows()
	conn := embeddedtest.StartClickHouse(t).Conn(embedded.Admin)
	file := hex.EncodeToString(write(t, "parquet", all))
	from := "FROM format(Parquet, unhex('" + file + "'))"
	var n, scopes, timed uint64
	var ids, subjects []string
	if err := conn.QueryRow(t.Context(), "SELECT count(), sum(length(token_scope)), countIf(token_expires_at IS NOT NULL), groupArray(id), groupArray(subject_sub) "+from).Scan(&n, &scopes, &timed, &ids, &subjects); err != nil {
		t.Fatalf("%.300v", err)
	}
	var wantScopes, wantTimed uint64
	var wantIDs, wantSubjects []string
	for _, r := range all {
		wantIDs, wantSubjects = append(wantIDs, r.Event.ID), append(wantSubjects, r.Event.Subject.Sub)
		wantScopes += uint64(len(r.Event.Token.Scope))
		if r.Event.Token.ExpiresAt != 0 {
			wantTimed++
		}
	}
	if n != uint64(len(all)) || scopes != wantScopes || timed != wantTimed {
		t.Errorf("%d rows, %d scopes, %d expiries; want %d, %d, %d", n, scopes, timed, len(all), wantScopes, wantTimed)
	}
	if diff := cmp.Diff(wantIDs, ids) + cmp.Diff(wantSubjects, subjects); diff != "" {
		t.Error(diff)
	}
	var at string
	if err := conn.QueryRow(t.Context(), "SELECT toString(toUnixTimestamp64Micro(assumeNotNull(time))) "+from+" WHERE id = '"+all[0].Event.ID+"' LIMIT 1").Scan(&at); err != nil || at != fmt.Sprint(int64(all[0].Event.Time)) {
		t.Errorf("time %s, want %d: %.300v", at, all[0].Event.Time, err)
	}
}

// Every event has what the class API Activity requires, and nothing is lost.
func TestOCSF(t *testing.T) {
	all := rows()
	lines := strings.Split(strings.TrimSpace(string(write(t, "ocsf", all))), "\n")
	for i, line := range lines {
		var o export.OCSF
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		e := all[i].Event
		if o.ClassUID != 6003 || o.TypeUID != 600300+o.ActivityID || o.Time != int64(e.Time)/1000 || o.Metadata.UID != e.ID || o.Metadata.TenantUID != e.Tenant || o.API.Operation == "" {
			t.Errorf("%s: %s", e.Source.EventID, line)
		}
		if o.Src.IP == "" && o.Src.Name == "" {
			t.Errorf("%s has no source endpoint", e.Source.EventID)
		}
		if a := o.Actor; a.User == nil && a.Session == nil && a.AppName == "" && a.AppUID == "" && a.InvokedBy == "" {
			t.Errorf("%s has no actor", e.Source.EventID)
		}
		leaf := tlog.RecordHash(all[i].Raw)
		if o.Attestation.Fingerprint.Value != hex.EncodeToString(leaf[:]) {
			t.Errorf("%s: fingerprint %s", e.Source.EventID, o.Attestation.Fingerprint.Value)
		}
		if denied := e.Outcome != event.Success || e.Decision.Effect == event.Deny; denied != (o.StatusID == 2) {
			t.Errorf("%s: status %d for outcome %s, decision %s", e.Source.EventID, o.StatusID, e.Outcome, e.Decision.Effect)
		}
		kept, err := json.Marshal(o.Unmapped["custody"].(map[string]any)["event"])
		if err != nil {
			t.Fatal(err)
		}
		if back, _, err := event.DecodeLenient(kept); err != nil || !bytes.Equal(back.Canonical(), all[i].Raw) {
			t.Errorf("%s is not whole: %v", e.Source.EventID, err)
		}
	}
	if len(lines) != len(all) {
		t.Errorf("%d lines for %d events", len(lines), len(all))
	}
}

func TestUnknownFormat(t *testing.T) {
	if _, err := export.New("xml", nil); err == nil || !strings.Contains(err.Error(), "parquet") {
		t.Error(err)
	}
}
