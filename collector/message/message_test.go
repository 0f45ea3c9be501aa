package message_test

import (
	"testing"

	"github.com/custody-audit/custody/collector/message"
)

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		body, method, tool, id string
		ambiguous              bool
		n                      int
	}{
		"call":            {`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read"}}`, "tools/call", "read", "7", false, 1},
		"text as id":      {`{"id":"a b","method":"tools/call","params":{"name":"read"}}`, "tools/call", "read", "a b", false, 1},
		"no id":           {`{"id":null,"method":"ping"}`, "ping", "", "", false, 1},
		"other names":     {`{"ID":1,"Method":"ping","method":"tools/call","params":{"Name":"x","name":"read"}}`, "tools/call", "read", "", false, 1},
		"twice":           {`{"method":"ping","method":"tools/call"}`, "tools/call", "", "", true, 1},
		"twice escaped":   {`{"method":"ping","\u006dethod":"tools/call"}`, "tools/call", "", "", true, 1},
		"twice inside":    {`{"method":"tools/call","params":{"name":"a","name":"b"}}`, "tools/call", "b", "", true, 1},
		"batch":           {` [{"id":1,"method":"ping"},{"id":2,"method":"ping"}] `, "ping", "", "1", false, 2},
		"part of a batch": {`[1,{"id":2,"method":"ping"},"x"]`, "ping", "", "2", false, 1},
		"wrong types":     {`{"id":1,"method":"tools/call","params":[1],"error":7}`, "tools/call", "", "1", false, 1},
		"no message":      {`"hello"`, "", "", "", false, 0},
		"nothing":         {``, "", "", "", false, 0},
		"cut":             {`{"id":1,"method":"pi`, "", "", "", false, 0},
		"two values":      {`{"id":1}{"id":2}`, "", "", "", false, 0},
	} {
		all := message.Read([]byte(c.body))
		if len(all) != c.n {
			t.Errorf("%s: %d messages, want %d", name, len(all), c.n)
			continue
		}
		if c.n == 0 {
			continue
		}
		if m := all[0]; m.Method != c.method || m.Params.Name != c.tool || message.Label(m.ID) != c.id || m.Ambiguous != c.ambiguous {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// The body is another's: reading must not change it.
func FuzzRead(f *testing.F) {
	f.Add(`[{"id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":[1]},"_meta":{"traceparent":"00-"}}},{"id":1,"result":{"isError":true,"tools":[{"name":"a"}]}}]`)
	f.Fuzz(func(t *testing.T, body string) {
		b := []byte(body)
		for _, m := range message.Read(b) {
			m.Outcome()
			m.Request()
			m.Response()
		}
		if string(b) != body {
			t.Errorf("%q became %q", body, b)
		}
	})
}
