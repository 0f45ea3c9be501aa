package registry

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// index finds the configured sources by what they show. It never changes.
type index struct {
	byID     map[string]*collector.Source // by TENANT/ID
	byKey    map[string]*collector.Source // by hex SHA-256 of the key
	bySPIFFE map[string]*collector.Source // by SPIFFE ID
	byDNS    map[string]*collector.Source // by DNS name
	byClaims map[claims]*collector.Source // by what the JWT says
}

// claims name a sender of JWTs.
type claims struct{ issuer, subject string }

// newIndex checks the sources and reports all problems at once. types are the
// source types that exist; nil allows any.
func newIndex(sources []collector.Source, types []string) (*index, error) {
	x := &index{map[string]*collector.Source{}, map[string]*collector.Source{}, map[string]*collector.Source{}, map[string]*collector.Source{}, map[claims]*collector.Source{}}
	var errs []error
	for i := range sources {
		s := sources[i]
		err := validate(&s, types)
		if err == nil {
			err = x.add(&s)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sources[%d] %q: %w", i, s.ID, err))
		}
	}
	return x, errors.Join(errs...)
}

// add enters a source under everything it shows, each of which must be its own.
func (x *index) add(s *collector.Source) error {
	if x.byID[name(s)] != nil {
		return fmt.Errorf("id is given twice in tenant %q", s.Tenant)
	}
	x.byID[name(s)] = s
	var errs []error
	for _, hash := range []string{s.KeySHA256, s.PreviousKeySHA256} {
		errs = append(errs, enter(x.byKey, hash, s, "key"))
	}
	if c := s.Certificate; c != nil {
		errs = append(errs, enter(x.bySPIFFE, c.SPIFFEID, s, "SPIFFE ID"), enter(x.byDNS, c.DNS, s, "DNS name"))
	}
	if o := s.OIDC; o != nil {
		errs = append(errs, enter(x.byClaims, claims{o.Issuer, o.Subject}, s, "issuer and subject"))
	}
	return errors.Join(errs...)
}

func enter[K comparable](m map[K]*collector.Source, key K, s *collector.Source, what string) error {
	var none K
	if key == none {
		return nil
	}
	if other := m[key]; other != nil {
		return fmt.Errorf("has the %s of %q", what, other.ID)
	}
	m[key] = s
	return nil
}

func name(s *collector.Source) string { return s.Tenant + "/" + s.ID }

var (
	keyHashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	dnsPattern     = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
)

// algorithms are those that a JWT may pin.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func validate(s *collector.Source, types []string) error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(event.ValidTenant(s.ID), "id: want lower-case letters, digits, - and _, at most 63")
	want(s.ID != "custody", "id: \"custody\" is the collector's own")
	want(event.ValidTenant(s.Tenant), "tenant %q: want lower-case letters, digits, - and _, at most 63", s.Tenant)
	want(s.Type == "" || types == nil || slices.Contains(types, s.Type), "type %q: want one of %v, or none for all", s.Type, types)
	want(s.Issuer == "" || isURL(s.Issuer), "issuer %q: want the URL that tokens have in iss", s.Issuer)
	want(s.Issuer == "" || s.Type == "" || s.Type == "keycloak", "issuer: the events of type %q have their own; only keycloak reads it", s.Type)
	want(s.EventsPerSecond >= 0, "events_per_second: want 0 or more, got %d", s.EventsPerSecond)
	want(s.KeySHA256 != "" || s.Certificate != nil || s.OIDC != nil || s.Webhook != nil,
		`want key_sha256, certificate, oidc or webhook; "custody source add" makes a key and its hash`)
	for field, hash := range map[string]string{"key_sha256": s.KeySHA256, "previous_key_sha256": s.PreviousKeySHA256} {
		want(hash == "" || keyHashPattern.MatchString(hash), "%s: want 64 lower-case hex digits", field)
	}
	want(s.PreviousKeySHA256 == "" || s.KeySHA256 != "", "previous_key_sha256: wants a key_sha256")
	if c := s.Certificate; c != nil {
		errs = append(errs, validateCertificate(c))
	}
	if o := s.OIDC; o != nil {
		errs = append(errs, validateOIDC(o))
	}
	want(s.Webhook == nil || s.Webhook.SecretFile != "", "webhook.secret_file: is required")
	return errors.Join(errs...)
}

func validateCertificate(c *collector.CertificateIdentity) error {
	switch {
	case (c.SPIFFEID == "") == (c.DNS == ""):
		return errors.New("certificate: want spiffe_id or dns")
	case c.DNS != "" && !dnsPattern.MatchString(c.DNS):
		return fmt.Errorf("certificate.dns %q: want a lower-case DNS name without wildcard", c.DNS)
	case c.SPIFFEID != "":
		if _, err := spiffeid.FromString(c.SPIFFEID); err != nil {
			return fmt.Errorf("certificate.spiffe_id %q: %w", c.SPIFFEID, err)
		}
	}
	return nil
}

// isURL is enough for an issuer that is a name and is asked nothing.
func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

func validateOIDC(o *collector.OIDCIdentity) error {
	var errs []error
	if u, err := url.Parse(o.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && u.Hostname() != "127.0.0.1" && u.Hostname() != "localhost" {
		errs = append(errs, fmt.Errorf("oidc.issuer %q: want an https URL", o.Issuer))
	}
	if o.Audience == "" {
		errs = append(errs, errors.New("oidc.audience: is required: a token for somebody else must not open this collector"))
	}
	if o.Subject == "" {
		errs = append(errs, errors.New("oidc.subject: is required"))
	}
	for _, a := range o.Algorithms {
		if !slices.Contains(algorithms, a) {
			errs = append(errs, fmt.Errorf("oidc.algorithms %q: want some of %v", a, algorithms))
		}
	}
	return errors.Join(errs...)
}
