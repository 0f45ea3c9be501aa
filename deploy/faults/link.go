package faults

import (
	"context"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is a way to a server that can be broken.
type link struct{ proxy *toxiproxy.Proxy }

// newLink listens at a free port; connect says where it leads.
func newLink(name string) (*link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{toxiproxy.NewProxy(server, name, "127.0.0.1:0", "127.0.0.1:0")}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("proxy of %s: %w", name, err)
	}
	return l, nil
}

func (l *link) addr() string { return l.proxy.Listen }

// connect must be called before anybody uses the link.
func (l *link) connect(upstream string) error {
	return l.proxy.Update(&toxiproxy.Proxy{Listen: l.proxy.Listen, Upstream: upstream, Enabled: true})
}

// cut ends all connections and refuses new ones for a time.
func (l *link) cut(ctx context.Context, d time.Duration) error {
	l.proxy.Stop()
	wait(ctx, d)
	return l.proxy.Start()
}

// swallow makes a black hole of a share of the connections; they end with it.
func (l *link) swallow(ctx context.Context, f fault) error {
	direction := "downstream"
	if f.upstream {
		direction = "upstream"
	}
	const name = "hole"
	toxic := fmt.Sprintf(`{"name": %q, "type": "timeout", "stream": %q, "toxicity": %g, "attributes": {"timeout": 0}}`, name, direction, f.share)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		return err
	}
	wait(ctx, f.lasts)
	return l.proxy.Toxics.RemoveToxic(context.WithoutCancel(ctx), name)
}

func (l *link) close() { l.proxy.Stop() }
