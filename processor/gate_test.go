package processor_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// stage is a point in the life of an insert of records.
type stage string

const (
	beforeQuery stage = "before the query"  // ClickHouse has heard nothing
	inData      stage = "within the rows"   // it has the query and the beginning of the rows
	beforeReply stage = "before the answer" // it stores the rows, and the client does not know
)

// gate is a way to ClickHouse on which an insert can be held at a stage, as a
// slow network would hold it.
type gate struct {
	addr   string
	target string

	mu    sync.Mutex
	stage stage         // guarded by mu; empty: everything passes
	held  chan struct{} // guarded by mu; closed when an insert is held
	open  chan struct{} // guarded by mu; closed by release
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: l.Addr().String(), target: target, open: make(chan struct{})}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { g.serve(client) })
		}
	})
	t.Cleanup(func() {
		g.release()
		l.Close()
		work.Wait()
	})
	return g
}

// arm holds the next insert at a stage; the channel is closed when one is held.
func (g *gate) arm(at stage) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stage, g.held, g.open = at, make(chan struct{}), make(chan struct{})
	return g.held
}

// release lets everything pass that is held, and all that follows.
func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stage = ""
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

// hold blocks when this stage is armed.
func (g *gate) hold(at stage) {
	g.mu.Lock()
	if g.stage != at {
		g.mu.Unlock()
		return
	}
	select {
	case <-g.held:
	default:
		close(g.held)
	}
	open := g.open
	g.mu.Unlock()
	<-open
}

// firstRows is more than the client sends between an insert's query and its rows.
const firstRows = 4096

func (g *gate) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer server.Close()
	var rows sync.Once
	sent := make(chan struct{}) // closed when rows have gone to the server
	var down sync.WaitGroup
	down.Go(func() {
		copyChunks(client, server, func(b []byte) []byte {
			select {
			case <-sent:
				g.hold(beforeReply)
			default:
			}
			return b
		})
		client.Close()
	})
	inserting, bytesOfRows := false, 0
	copyChunks(server, client, func(b []byte) []byte {
		switch {
		case bytes.Contains(b, []byte("INSERT INTO records")):
			inserting = true
			g.hold(beforeQuery)
		case inserting:
			if bytesOfRows += len(b); bytesOfRows > firstRows {
				server.Write(b[:len(b)/2])
				b = b[len(b)/2:]
				g.hold(inData)
				rows.Do(func() { close(sent) })
			}
		}
		return b
	})
	server.(*net.TCPConn).CloseWrite()
	down.Wait()
}

// copyChunks copies until either end closes. It writes what pass returns of each
// chunk.
func copyChunks(to io.Writer, from io.Reader, pass func([]byte) []byte) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(pass(buffer[:n])); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
