package collector

import (
	"context"
	"crypto/x509"
	"net/http"
)

// Source is a configured origin of events, as the collector authenticated it.
// What it says stands above everything in the payload. Package registry reads
// sources from a file and recognises them.
type Source struct {
	// ID names the source in events, metrics and files: lower-case letters, digits, '-' and '_'.
	ID string `yaml:"id" json:"id"`
	// Tenant that all its events belong to.
	Tenant string `yaml:"tenant" json:"tenant"`
	// Type of the source: the folder under collector, for example "native". It
	// decides which endpoints are open to it. Empty opens every one.
	Type string `yaml:"type,omitempty" json:"type,omitempty"`
	// Servers are the server ids it may report for; empty for any. An event for
	// another server is rejected.
	Servers []string `yaml:"servers,omitempty" json:"servers,omitempty"`
	// DeepScan looks for secrets by gitleaks' rules too, for a source whose texts may
	// hold any: arguments, messages of people. It costs many times what taking an
	// event costs otherwise (docs/adr/0010-deep-scan.md).
	DeepScan bool `yaml:"deep_scan,omitempty" json:"deep_scan,omitempty"`
	// Issuer of the users that its events name without one, as tokens have it in
	// the claim iss. Type keycloak reads it; no other source lacks it.
	Issuer string `yaml:"issuer,omitempty" json:"issuer,omitempty"`
	// Disabled refuses it, and keeps its name from being used again.
	Disabled bool `yaml:"disabled,omitempty" json:"disabled,omitempty"`
	// EventsPerSecond is its quota; 0 is none. Ten seconds of it may come at once.
	EventsPerSecond int `yaml:"events_per_second,omitempty" json:"events_per_second,omitempty"`

	// KeySHA256 is the hex SHA-256 of its bearer key. The key itself is nowhere stored.
	KeySHA256 string `yaml:"key_sha256,omitempty" json:"-"`
	// PreviousKeySHA256 is that of a key which is being replaced and still good.
	PreviousKeySHA256 string `yaml:"previous_key_sha256,omitempty" json:"-"`
	// Certificate is the client certificate by which it is recognised.
	Certificate *CertificateIdentity `yaml:"certificate,omitempty" json:"certificate,omitempty"`
	// OIDC is the JWT by which it is recognised.
	OIDC *OIDCIdentity `yaml:"oidc,omitempty" json:"oidc,omitempty"`
	// Webhook is the signature by which it is recognised.
	Webhook *WebhookIdentity `yaml:"webhook,omitempty" json:"webhook,omitempty"`
}

// CertificateIdentity is one name of a client certificate.
type CertificateIdentity struct {
	// SPIFFEID is the certificate's URI, "spiffe://TRUST-DOMAIN/PATH".
	SPIFFEID string `yaml:"spiffe_id,omitempty" json:"spiffe_id,omitempty"`
	// DNS is one of its DNS names (subject alternative name).
	DNS string `yaml:"dns,omitempty" json:"dns,omitempty"`
}

// OIDCIdentity is what a JWT must say. Its issuer is asked for its keys by
// OpenID Connect Discovery.
type OIDCIdentity struct {
	// Issuer is the claim iss, Audience is in aud, Subject is sub.
	Issuer   string `yaml:"issuer" json:"issuer"`
	Audience string `yaml:"audience" json:"audience"`
	Subject  string `yaml:"subject" json:"subject"`
	// Algorithms that it may be signed with; empty is RS256 and ES256.
	Algorithms []string `yaml:"algorithms,omitempty" json:"algorithms,omitempty"`
}

// WebhookIdentity is a shared secret in the form of Standard Webhooks.
type WebhookIdentity struct {
	// SecretFile holds it: "whsec_" and base64 of 24 to 64 bytes.
	SecretFile string `yaml:"secret_file" json:"secret_file"`
}

// Credentials are what a request shows of its sender.
type Credentials struct {
	// Bearer is the key or token of "Authorization: Bearer".
	Bearer string
	// Certificates that the TLS handshake verified, leaf first.
	Certificates []*x509.Certificate
}

// Authenticator tells sources apart. It is safe for concurrent use. Its errors
// are [HTTPError].
type Authenticator interface {
	// Authenticate returns the source with these credentials, when an endpoint of
	// this type is open to it.
	Authenticate(ctx context.Context, c Credentials, sourceType string) (*Source, error)
	// AuthenticateHTTP does the same for an HTTP request, whose body it may have to
	// read and puts back.
	AuthenticateHTTP(w http.ResponseWriter, r *http.Request, sourceType string) (*Source, error)
}
