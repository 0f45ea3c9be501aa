package truth

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A book of one task: a login, an exchange, a call twice, a key, a token sent on,
// and a widening. The lines are not in order, as exchanges of servers are not.
const book = `{"kind":"call","began":"2026-10-05T09:00:03Z","tenant":"acme","trace_id":"t","token_ref":"b","server":"github","tool":"read","jsonrpc_id":"2","decided":"deny","ran":true}
{"kind":"login","began":"2026-10-05T09:00:00Z","tenant":"acme","trace_id":"t","token_ref":"a","scope":["r","w"]}
{"kind":"exchange","began":"2026-10-05T09:00:01Z","tenant":"acme","trace_id":"t","actor":"planner","parent_ref":"a","token_ref":"b","scope":["r"],"server":"github"}
{"kind":"call","began":"2026-10-05T09:00:02Z","tenant":"acme","trace_id":"t","token_ref":"b","server":"github","tool":"read","jsonrpc_id":"1","decided":"allow","ran":true}
{"kind":"call","began":"2026-10-05T09:00:04Z","tenant":"acme","trace_id":"t","token_ref":"b","server":"deploy","tool":"run","jsonrpc_id":"3","decided":"deny"}
{"kind":"call","began":"2026-10-05T09:00:05Z","tenant":"acme","trace_id":"t","token_ref":"k","server":"legacy","tool":"x","jsonrpc_id":"4","static":true,"ran":true}
{"kind":"exchange","began":"2026-10-05T09:00:06Z","tenant":"acme","trace_id":"t","actor":"planner","parent_ref":"b","token_ref":"c","scope":["r","x"],"server":"deploy"}
{"kind":"call","began":"2026-10-05T09:00:07Z","tenant":"acme","trace_id":"t","token_ref":"c","server":"deploy","tool":"run","jsonrpc_id":"5","decided":"allow","ran":true}
`

func TestBook(t *testing.T) {
	b, err := Read(strings.NewReader(book))
	if err != nil {
		t.Fatal(err)
	}
	hops := map[Hop]bool{{"acme", "a", "b", "planner"}: true, {"acme", "b", "c", "planner"}: true}
	if diff := cmp.Diff(hops, b.Hops()); diff != "" {
		t.Errorf("hops (-want +got):\n%s", diff)
	}
	want := Verdicts{}
	for id, words := range map[string]string{
		"github read 1": "decided_allow legitimate narrowed",
		"github read 2": "decided_deny_but_ran legitimate cached",
		"deploy run 3":  "denied passthrough cached",
		"legacy x 4":    "no_decision_seen static none",
		"deploy run 5":  "decided_allow legitimate widening",
	} {
		f := strings.Fields(id)
		for _, word := range strings.Fields(words) {
			want.say(Call{"acme", "t", f[0], f[1], f[2]}, word)
		}
	}
	if diff := cmp.Diff(want, b.Verdicts()); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if _, err := Read(strings.NewReader("{")); err == nil {
		t.Error("half a step is read")
	}
}

func TestCompare(t *testing.T) {
	happened := map[int]bool{1: true, 2: true, 3: true, 4: true}
	if got, want := Compare(happened, map[int]bool{1: true, 2: true, 9: true}), (Score{2.0 / 3, 0.5, 4, 3, 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := Compare(happened, nil); got.Precision != 1 || got.Recall != 0 {
		t.Errorf("nothing concluded: %+v", got)
	}
}
