// Package loopback serves HTTP handlers of the demo estate on free ports of
// 127.0.0.1, and nowhere else.
package loopback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Server is one handler at one address.
type Server struct {
	// URL is "http://127.0.0.1:PORT".
	URL string

	http *http.Server
	done chan error
}

// Serve starts to serve h; the caller owes a Close.
func Serve(h http.Handler) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	s := &Server{"http://" + l.Addr().String(), &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}, make(chan error, 1)}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

// Close waits for the requests under way, for as long as ctx allows, and frees the port.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop %s: %w", s.URL, err), s.http.Close())
	}
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve %s: %w", s.URL, served))
	}
	return err
}
