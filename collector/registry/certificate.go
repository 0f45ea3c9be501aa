package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/custody-audit/custody/collector"
)

// certificate returns the source of a client certificate that [TLS] verified.
func (x *index) certificate(leaf *x509.Certificate) (*collector.Source, error) {
	if id, err := x509svid.IDFromCert(leaf); err == nil {
		if src := x.bySPIFFE[id.String()]; src != nil {
			return src, nil
		}
		return nil, unauthorized("the certificate of %q belongs to no configured source", clip(id.String()))
	}
	for _, dns := range leaf.DNSNames {
		if src := x.byDNS[dns]; src != nil {
			return src, nil
		}
	}
	return nil, unauthorized("the certificate's names belong to no configured source: %q", clip(fmt.Sprint(leaf.DNSNames)))
}

// TLSConfig are the files of a collector's TLS.
type TLSConfig struct {
	// CertFile and KeyFile are the collector's own, PEM. They are read again when
	// a connection comes and they have changed.
	CertFile, KeyFile string
	// ClientCAFile holds the authorities that may issue client certificates with
	// DNS names, PEM; empty for none.
	ClientCAFile string
	// SPIFFEBundles hold the authorities of trust domains, PEM, by the domain's name.
	SPIFFEBundles map[string]string
}

// TLS returns the configuration of a listener. A client may show a certificate
// and need not; one that it shows must hold. A SPIFFE ID holds only under its own
// trust domain's authorities.
func TLS(cfg TLSConfig) (*tls.Config, error) {
	own := &keyPair{certFile: cfg.CertFile, keyFile: cfg.KeyFile}
	if _, err := own.get(nil); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	v := &peers{bundles: x509bundle.NewSet()}
	var errs []error
	for domain, file := range cfg.SPIFFEBundles {
		errs = append(errs, v.trust(domain, file))
	}
	if cfg.ClientCAFile != "" {
		pem, err := os.ReadFile(cfg.ClientCAFile)
		v.authorities = x509.NewCertPool()
		if err == nil && !v.authorities.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s holds no certificate", cfg.ClientCAFile)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("TLS: client authorities: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: own.get,
		ClientAuth: tls.RequestClientCert, VerifyConnection: v.verify, // in place of the standard check, which knows no trust domains
	}, nil
}

// peers verifies client certificates.
type peers struct {
	bundles     *x509bundle.Set
	authorities *x509.CertPool // nil: none
}

func (v *peers) trust(domain, file string) error {
	td, err := spiffeid.TrustDomainFromString(domain)
	if err != nil {
		return err
	}
	bundle, err := x509bundle.Load(td, file)
	if err != nil {
		return err
	}
	v.bundles.Add(bundle)
	return nil
}

func (v *peers) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	if len(leaf.URIs) > 0 {
		_, _, err := x509svid.Verify(state.PeerCertificates, v.bundles)
		return err
	}
	if v.authorities == nil {
		return errors.New("client certificates with DNS names are not accepted here")
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: v.authorities, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}
