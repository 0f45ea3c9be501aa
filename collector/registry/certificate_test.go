package registry_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/schemas/dial/dialtest"
)

func TestCertificates(t *testing.T) {
	acme, evil := dialtest.NewAuthority(t, "acme.example"), dialtest.NewAuthority(t, "evil.example")
	web := dialtest.NewAuthority(t, "")
	r := newRegistry(t, nil,
		collector.Source{ID: "deploy", Tenant: "acme", Certificate: &collector.CertificateIdentity{SPIFFEID: "spiffe://acme.example/deploy"}},
		collector.Source{ID: "gateway", Tenant: "acme", Certificate: &collector.CertificateIdentity{DNS: "gateway.acme.example"}},
		collector.Source{ID: "off", Tenant: "acme", Disabled: true, Certificate: &collector.CertificateIdentity{DNS: "off.acme.example"}})
	cert, key := web.Files(web.Issue("127.0.0.1"))
	cfg, err := registry.TLS(registry.TLSConfig{
		CertFile: cert, KeyFile: key, ClientCAFile: web.File, SPIFFEBundles: map[string]string{"acme.example": acme.File, "evil.example": evil.File},
	})
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, cfg, func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, answer(r.AuthenticateHTTP(w, req, "native")))
	})
	for _, c := range []struct {
		what string
		cert *tls.Certificate
		want string
	}{
		{"its SPIFFE ID", issue(acme, "spiffe://acme.example/deploy"), "200 deploy"},
		{"another SPIFFE ID", issue(acme, "spiffe://acme.example/other"), `401 the certificate of "spiffe://acme.example/other"`},
		{"its SPIFFE ID, by another domain's authority", issue(evil, "spiffe://acme.example/deploy"), "refused"},
		{"its SPIFFE ID, by the web's authority", issue(web, "spiffe://acme.example/deploy"), "refused"},
		{"its DNS name", issue(web, "gateway.acme.example"), "200 gateway"},
		{"another DNS name", issue(web, "vault.acme.example"), "401 the certificate's names"},
		{"its DNS name, by a trust domain's authority", issue(acme, "gateway.acme.example"), "refused"},
		{"disabled", issue(web, "off.acme.example"), "403"},
		{"none", nil, "401 want"},
	} {
		said := ask(url, web, c.cert)
		check(t, c.what, said, c.want)
		if c.want == "refused" && !strings.Contains(said, "remote error: tls") { // by the server, not by this client
			t.Errorf("%s: %s", c.what, said)
		}
	}
}

func serve(t *testing.T, cfg *tls.Config, handler http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler, TLSConfig: cfg, ReadHeaderTimeout: time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go s.ServeTLS(l, "", "")
	t.Cleanup(func() { s.Close() })
	return "https://" + l.Addr().String()
}

func issue(a *dialtest.Authority, name string) *tls.Certificate {
	c := a.Issue(name)
	return &c
}

func ask(url string, server *dialtest.Authority, cert *tls.Certificate) string {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: server.Pool}}
	if cert != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{*cert}
	}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Post(url, "application/json", strings.NewReader("{}"))
	if err != nil {
		return "refused: " + err.Error()
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

// A certificate that is replaced on disk is shown to the next connection.
func TestCertificateIsReplaced(t *testing.T) {
	first, second := dialtest.NewAuthority(t, ""), dialtest.NewAuthority(t, "")
	cert, key := first.Files(first.Issue("127.0.0.1"))
	cfg, err := registry.TLS(registry.TLSConfig{CertFile: cert, KeyFile: key})
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, cfg, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	check(t, "the first", ask(url, first, nil), "hello")
	newCert, newKey := second.Files(second.Issue("127.0.0.1"))
	for from, to := range map[string]string{newKey: key, newCert: cert} {
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err == nil {
			err = os.Chtimes(to, time.Time{}, time.Now().Add(time.Minute))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	check(t, "the second", ask(url, second, nil), "hello")
	if _, err := registry.TLS(registry.TLSConfig{CertFile: cert, KeyFile: first.File}); err == nil {
		t.Error("a key that is none is accepted")
	}
}
