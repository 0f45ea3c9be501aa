package embedded

import (
	"io"
	"net"
	"sync"
)

// proxy stands before the engine. The engine's library aborts when a native
// client is killed in the middle of an insert; the proxy turns the reset into an
// orderly end of the stream.
type proxy struct {
	listener net.Listener
	target   func() string // where the engine is now
	work     sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool // guarded by mu
}

func newProxy(listener net.Listener, target func() string) *proxy {
	p := &proxy{listener: listener, target: target, open: map[net.Conn]bool{}}
	p.work.Go(p.accept)
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.work.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target())
	if err != nil {
		return // the engine is restarting; the client tries again
	}
	defer server.Close()
	p.hold(client, server)
	defer p.drop(client, server)
	var up sync.WaitGroup
	up.Go(func() {
		io.Copy(server, client)
		server.(*net.TCPConn).CloseWrite()
	})
	io.Copy(client, server)
	client.Close()
	// What the engine still sends is read until it closes, never reset.
	up.Go(func() { io.Copy(io.Discard, server) })
	up.Wait()
}

func (p *proxy) hold(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.open[c] = true
	}
}

func (p *proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.open, c)
	}
}

// close ends all connections and waits for their goroutines.
func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	for c := range p.open {
		c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}
