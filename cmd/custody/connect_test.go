package main

import (
	"bytes"
	"context"
	"net"
	"testing"
)

// The processor of "custody run" connects when there is something to insert, when
// the configuration is already that of the detections.
func TestDialerKeepsItsUser(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	hello := make(chan []byte, 1)
	go func() {
		c, err := server.Accept()
		if err != nil {
			close(hello)
			return
		}
		defer c.Close()
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		hello <- b[:n]
	}()
	cfg := clickhouseConfig{Addresses: []string{server.Addr().String()}, User: "writer", password: "w"}
	dial, err := cfg.dialer("custody")
	if err != nil {
		t.Fatal(err)
	}
	cfg = clickhouseConfig{Addresses: []string{"127.0.0.1:1"}, User: "detector", password: "d"}
	if c, err := dial(context.Background()); err == nil {
		c.Close()
	}
	server.Close() // who did not come by now does not come
	if b := <-hello; !bytes.Contains(b, []byte("writer")) || bytes.Contains(b, []byte("detector")) {
		t.Errorf("the hello is %q, want one of writer", b)
	}
}
