package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// TLS says how a server is recognised, and we by it. The zero value is plain TCP.
type TLS struct {
	// Enabled must be true for TLS; without it the rest must be empty.
	Enabled bool
	// CAFile holds the authorities of the server's certificate, PEM; empty: those
	// of the system.
	CAFile string
	// CertFile and KeyFile are our own certificate for servers that ask for one,
	// PEM; empty: none.
	CertFile, KeyFile string
	// ServerName is the name that the server's certificate must have; empty: the
	// host of the address.
	ServerName string
}

// Validate reports everything that is wrong; section is where the settings are,
// as "kafka.tls".
func (t TLS) Validate(section string) error {
	var errs []error
	if !t.Enabled && t != (TLS{}) {
		errs = append(errs, fmt.Errorf("%s.enabled: want true where other settings of %s are given", section, section))
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, fmt.Errorf("%s: want cert_file and key_file both, or neither", section))
	}
	return errors.Join(errs...)
}

// handshakeTimeout bounds what a server may take to prove who it is.
const handshakeTimeout = 10 * time.Second

// Dialer returns what opens connections; its errors name settings under section.
func (t TLS) Dialer(section string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, tls: t, section: section}
		if !t.Enabled {
			return c, nil
		}
		if err := c.handshake(ctx, address); err != nil {
			raw.Close()
			return nil, err
		}
		return c, nil
	}
}

// conn explains what the other side says in the middle of a connection: with TLS
// 1.3 it judges our certificate after the handshake, and a server that wants TLS
// answers to anything else with the end.
type conn struct {
	net.Conn
	tls     TLS
	section string
	own     *x509.Certificate // what we show, if anything
	heard   bool              // something was read; reads are one at a time
}

func (c *conn) handshake(ctx context.Context, address string) error {
	cfg, err := c.config(address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	secure := tls.Client(c.Conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		return c.explain(fmt.Errorf("TLS with %s: %w", address, err))
	}
	c.Conn = secure
	return nil
}

func (c *conn) config(address string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.tls.ServerName}
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		cfg.ServerName = host
	}
	if c.tls.CAFile != "" {
		pem, err := os.ReadFile(c.tls.CAFile)
		if err != nil {
			return nil, &refusal{c.section + ".ca_file", "cannot be read", err}
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &refusal{setting: c.section + ".ca_file", reason: c.tls.CAFile + " holds no certificate in PEM"}
		}
	}
	if c.tls.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.tls.CertFile, c.tls.KeyFile)
		if err != nil {
			return nil, &refusal{c.section + ".cert_file and key_file", "are no certificate with its key", err}
		}
		c.own = pair.Leaf
		// Shown to any server that asks, also when it names other authorities: it then says why it refuses.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return cfg, nil
}

// Read implements [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		err = c.explain(err)
	}
	c.heard = c.heard || n > 0
	return n, err
}

// explain names the setting that an error of the connection comes from.
func (c *conn) explain(err error) error {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
		plain   tls.RecordHeaderError
		remote  *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return &refusal{c.section + ".ca_file", "no authority of this file has issued the server's certificate", err}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert.IsCA:
		return &refusal{c.section + ".ca_file", "the authority's certificate has expired or is not valid yet", err}
	case errors.As(err, &invalid):
		return &refusal{c.section, "the server's certificate is not valid; have it renewed", err}
	case errors.As(err, &name):
		return &refusal{c.section + ".server_name", "the server's certificate is for another name", err}
	case errors.As(err, &plain):
		return &refusal{c.section + ".enabled", "the server does not speak TLS on this port", err}
	case errors.As(err, &remote) && remote.Op == "remote error":
		return c.refused(err)
	case c.tls.Enabled && !c.heard && errors.Is(err, io.EOF):
		return fmt.Errorf("the server ends the connection before it answers; if this port is without TLS, unset %s.enabled: %w", c.section, err)
	case !c.heard && errors.Is(err, io.EOF):
		return fmt.Errorf("the server ends the connection before it answers; if this port wants TLS, set %s.enabled: %w", c.section, err)
	}
	return err
}

// refused explains a TLS alert of the server.
func (c *conn) refused(err error) error {
	switch {
	case c.own == nil:
		return &refusal{c.section + ".cert_file", "the server refuses the connection, and may want a certificate of ours", err}
	case time.Now().After(c.own.NotAfter):
		return &refusal{c.section + ".cert_file", "the server refuses our certificate, which expired on " + c.own.NotAfter.UTC().Format(time.RFC3339), err}
	}
	return &refusal{c.section + ".cert_file", "the server refuses our certificate", err}
}
