package embedded

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// proxy stands before the engine. The engine's library aborts when a native
// client is killed in the middle of an insert; the proxy turns the reset into an
// orderly end of the stream. It aborts too when a client names a database that is
// not there, or a user or password that is not good; the proxy refuses such a
// client itself.
type proxy struct {
	listener net.Listener
	target   func() string       // where the engine is now
	refusal  func(*hello) []byte // what to answer instead of the engine; nil asks nobody
	work     sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool // guarded by mu
}

func newProxy(listener net.Listener, target func() string, refusal func(*hello) []byte) *proxy {
	p := &proxy{listener: listener, target: target, refusal: refusal, open: map[net.Conn]bool{}}
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
	p.hold(client)
	defer p.drop(client)
	from := bufio.NewReaderSize(client, 64<<10)
	hello, err := p.greet(client, from)
	if err != nil {
		return
	}
	server, err := net.Dial("tcp", p.target())
	if err != nil {
		return // the engine is restarting; the client tries again
	}
	defer server.Close()
	p.hold(server)
	defer p.drop(server)
	if _, err := server.Write(hello); err != nil {
		return
	}
	var up sync.WaitGroup
	up.Go(func() {
		io.Copy(server, from)
		server.(*net.TCPConn).CloseWrite()
	})
	io.Copy(client, server)
	client.Close()
	// What the engine still sends is read until it closes, never reset.
	up.Go(func() { io.Copy(io.Discard, server) })
	up.Wait()
}

// helloTimeout bounds the wait for what a client has to say first.
const helloTimeout = 10 * time.Second

// greet reads the hello, and refuses it when the engine would not outlive it.
func (p *proxy) greet(client net.Conn, from *bufio.Reader) ([]byte, error) {
	if p.refusal == nil {
		return nil, nil
	}
	client.SetReadDeadline(time.Now().Add(helloTimeout))
	said, err := readHello(from)
	if err != nil {
		return nil, err
	}
	if answer := p.refusal(said); answer != nil {
		client.Write(answer)
		return nil, errRefused
	}
	return said.raw, client.SetReadDeadline(time.Time{})
}

var errRefused = errors.New("refused")

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
