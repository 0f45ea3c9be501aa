package otlp

import (
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/schemas/dial/dialtest"
)

// Over gRPC a source may show a certificate instead of a key.
func TestGRPCWithCertificate(t *testing.T) {
	authority := dialtest.NewAuthority(t, "acme.example")
	web := dialtest.NewAuthority(t, "")
	one := *gateway
	one.KeySHA256, one.Certificate = "", &collector.CertificateIdentity{SPIFFEID: "spiffe://acme.example/gateway"}
	known, err := registry.New(registry.Config{Sources: []collector.Source{one}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	cert, key := web.Files(web.Issue("127.0.0.1"))
	secure, err := registry.TLS(registry.TLSConfig{CertFile: cert, KeyFile: key, SPIFFEBundles: map[string]string{"acme.example": authority.File}})
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{}
	r := New(Config{Intake: m, Sources: known})
	g := grpc.NewServer(append(r.ServerOptions(), grpc.Creds(credentials.NewTLS(secure)))...)
	r.RegisterGRPC(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() { g.Serve(l) })
	t.Cleanup(func() { g.Stop(); done.Wait() })
	for id, want := range map[string]codes.Code{"spiffe://acme.example/gateway": codes.OK, "spiffe://acme.example/other": codes.Unauthenticated, "": codes.Unauthenticated} {
		cfg := &tls.Config{RootCAs: web.Pool}
		if id != "" {
			cfg.Certificates = []tls.Certificate{authority.Issue(id)}
		}
		conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := collogs.NewLogsServiceClient(conn).Export(t.Context(), logCall()); status.Code(err) != want {
			t.Errorf("certificate of %q: %v, want %s", id, err, want)
		}
	}
	if events, _ := m.taken(); len(events) != 1 {
		t.Errorf("%d events taken, want 1", len(events))
	}
}
