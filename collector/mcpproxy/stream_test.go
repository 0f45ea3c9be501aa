package mcpproxy

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// What look does not change passes byte by byte, however it arrives, and look sees
// the same data.
func FuzzStream(f *testing.F) {
	f.Add([]byte("data: {}\n\nid: 1\r\ndata: a\r\ndata: b\r\n\r\n: ping\r\rdata:x\n\r\ndata: cut"))
	f.Add([]byte("\n\n\n\n\r\n\r\ndata\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		read := func(from io.Reader) (out []byte, seen []string) {
			s := &stream{from: io.NopCloser(from), unread: func() {}, look: func(data []byte) []byte {
				seen = append(seen, string(data))
				return data
			}}
			out, err := io.ReadAll(s)
			if err != nil {
				t.Fatal(err)
			}
			return out, seen
		}
		whole, _ := read(bytes.NewReader(text))
		slow, _ := read(iotest.OneByteReader(bytes.NewReader(text)))
		if !bytes.Equal(whole, text) || !bytes.Equal(slow, text) {
			t.Errorf("%q becomes %q at once and %q byte by byte", text, whole, slow)
		}
	})
}

// An event that is too long passes unread, and the next is read again.
func TestLongEvent(t *testing.T) {
	text := append(append([]byte("data: "), bytes.Repeat([]byte("x"), MaxResponse+100_000)...), "\n\ndata: after\n\n"...)
	var seen []string
	unread := 0
	s := &stream{from: io.NopCloser(bytes.NewReader(text)), unread: func() { unread++ }, look: func(data []byte) []byte {
		seen = append(seen, string(data))
		return data
	}}
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, text) || len(seen) != 1 || seen[0] != "after" || unread != 1 {
		t.Errorf("%d of %d bytes, %v, saw %d events, %d unread", len(got), len(text), err, len(seen), unread)
	}
}
