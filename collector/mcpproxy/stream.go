package mcpproxy

import (
	"bytes"
	"io"
)

// stream passes on server-sent events (HTML Living Standard section 9.2), each as
// soon as it is whole, after look has seen its data. Its bytes are not changed,
// unless look returns other data.
type stream struct {
	from   io.ReadCloser
	look   func(data []byte) []byte
	unread func() // is called once for an event that is too long to be looked at

	in     []byte // read, and not yet a whole event
	looked int    // bytes of in that no event ends in
	out    []byte // to be passed on
	pass   bool   // the event under way is too long: what comes of it passes as it is
	err    error  // of from, for when out is empty
	buffer [16 << 10]byte
}

// Read implements [io.Reader]. It returns what is whole and waits for no more.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.out) == 0 && s.err == nil {
		n, err := s.from.Read(s.buffer[:])
		s.err = err
		s.in = append(s.in, s.buffer[:n]...)
		s.split()
		if err != nil { // what is cut off passes as it is
			s.out, s.in = append(s.out, s.in...), nil
		}
	}
	if len(s.out) == 0 {
		return 0, s.err
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// split moves whole events from in to out.
func (s *stream) split() {
	for {
		n := eventEnd(s.in, s.looked)
		if n == 0 {
			s.looked = max(len(s.in)-3, 0)
			break
		}
		s.looked = 0
		if s.pass {
			s.out = append(s.out, s.in[:n]...)
		} else {
			s.out = append(s.out, s.seen(s.in[:n])...)
		}
		s.in, s.pass = s.in[n:], false
	}
	if len(s.in) > MaxResponse {
		if !s.pass {
			s.unread()
		}
		// All but what may be the beginning of an end.
		keep := len(s.in) - 3
		s.out, s.in, s.pass, s.looked = append(s.out, s.in[:keep]...), s.in[keep:], true, 0
	}
}

// eventEnd is the length of the first event with the empty line that ends it, not
// before from; 0 when it is not whole.
func eventEnd(b []byte, from int) int {
	end := 0
	for _, blank := range []string{"\n\n", "\n\r\n", "\r\r"} {
		if i := bytes.Index(b[from:], []byte(blank)); i >= 0 && (end == 0 || from+i+len(blank) < end) {
			end = from + i + len(blank)
		}
	}
	return end
}

// seen returns the event as it is to be passed on.
func (s *stream) seen(event []byte) []byte {
	var data []byte
	lines := bytes.FieldsFunc(event, func(r rune) bool { return r == '\n' || r == '\r' })
	for _, line := range lines {
		value, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue
		}
		if data != nil {
			data = append(data, '\n')
		}
		data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
	}
	if len(data) == 0 {
		return event
	}
	got := s.look(data)
	if bytes.Equal(got, data) {
		return event
	}
	// The other fields stay: the id of the event is what a client resumes from.
	var out []byte
	for _, line := range lines {
		if !bytes.HasPrefix(line, []byte("data:")) {
			out = append(append(out, line...), '\n')
		}
	}
	return append(append(append(out, "data: "...), got...), "\n\n"...)
}

// Close implements [io.Closer].
func (s *stream) Close() error { return s.from.Close() }
