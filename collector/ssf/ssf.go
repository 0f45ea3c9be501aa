// Package ssf receives the Security Event Tokens (SETs, RFC 8417) that a
// transmitter of the OpenID Shared Signals Framework pushes (RFC 8935): sessions
// revoked, credentials and token claims changed, accounts disabled. It follows
// SSF 1.0, CAEP 1.0 and RISC 1.0, with the places where their drafts and
// Google's RISC transmitter put the subject.
//
// It stands before the gateway: [Receiver.Handler] authenticates the source by
// its credentials, as every endpoint does, and then verifies the SET itself:
// type, signature by the transmitter's published keys, issuer, audience, time of
// issue and id. Only then [Parse] reads the payload. 202 is answered after the
// events are durable; a SET that comes again is answered 202 without being
// published again. What a SET says about a session or credential seldom names a
// token that others log: such events say so in a warning and join by subject.
package ssf

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.opentelemetry.io/otel/metric"

	"github.com/custody-audit/custody/collector"
)

// Type is the source type.
const Type = "ssf"

// Path is the endpoint: the endpoint_url of a stream's delivery.
const Path = "/v1/ssf/events"

// Transmitter is who signs the SETs that a source pushes.
type Transmitter struct {
	// Tenant and Source are those of the collector's source. Required.
	Tenant, Source string
	// Issuer is the claim iss, exactly. Required.
	Issuer string
	// JWKSURL is jwks_uri of the transmitter's configuration metadata, https.
	// Required.
	JWKSURL string
	// Audience must be in aud: the receiver's name at the transmitter. Required.
	Audience string
	// Algorithms of signatures; nil is RS256, PS256, ES256, ES384 and EdDSA.
	Algorithms []jose.SignatureAlgorithm
	// MaxAge is how long after iat a SET is still taken; 0 is 30 days. A
	// transmitter repeats what was not acknowledged.
	MaxAge time.Duration
}

// Config configures a Receiver.
type Config struct {
	// Transmitters, one for each source. Required.
	Transmitters []Transmitter
	// HTTP fetches the transmitters' keys; nil is a client with a timeout of 10 s.
	HTTP *http.Client
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	Logger *slog.Logger
	Meter  metric.Meter // nil counts nothing
}

// Receiver takes the SETs of some transmitters. It is safe for concurrent use.
type Receiver struct {
	cfg       Config
	tel       *telemetry
	verifiers map[string]*verifier // by TENANT/ID of the source
}

// New returns a Receiver. Keys are fetched when the first SET comes.
func New(cfg Config) (*Receiver, error) {
	if cfg.Logger == nil {
		return nil, errors.New("ssf: want a Logger")
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	tel, err := newTelemetry(cfg.Meter)
	errs := []error{err}
	r := &Receiver{cfg: cfg, tel: tel, verifiers: map[string]*verifier{}}
	for i, t := range cfg.Transmitters {
		name := t.Tenant + "/" + t.Source
		err := t.validate()
		if err == nil && r.verifiers[name] != nil {
			err = fmt.Errorf("source %q has two transmitters", name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("transmitters[%d]: %w", i, err))
			continue
		}
		t.MaxAge = cmp.Or(t.MaxAge, 30*24*time.Hour)
		r.verifiers[name] = newVerifier(t, &r.cfg)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("ssf: %w", err)
	}
	return r, nil
}

// asymmetric are the algorithms that a transmitter may be pinned to: none whose
// key the receiver would have to know as well.
var asymmetric = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

func (t *Transmitter) validate() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(t.Tenant != "" && t.Source != "", "Tenant and Source: are required")
	want(t.Issuer != "", "Issuer: is required")
	want(t.Audience != "", "Audience: is required: a SET for somebody else must not be taken")
	u, err := url.Parse(t.JWKSURL)
	want(err == nil && u.Host != "" && (u.Scheme == "https" || u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost"), "JWKSURL: want an https URL")
	want(t.MaxAge >= 0, "MaxAge: want no negative duration")
	for _, a := range t.Algorithms {
		want(slices.Contains(asymmetric, a), "Algorithms: %q is none of %v", a, asymmetric)
	}
	if t.Algorithms == nil {
		t.Algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}
	}
	return errors.Join(errs...)
}

// Handler serves Path.
func (r *Receiver) Handler(sources collector.Authenticator, intake collector.Intake) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := r.take(w, req, sources, intake); err != nil {
			r.refuse(w, req, err)
			return
		}
		w.WriteHeader(http.StatusAccepted) // RFC 8935 section 2.2: with an empty body
	})
}

// take returns nil when what the SET says is durable, or was before.
func (r *Receiver) take(w http.ResponseWriter, req *http.Request, sources collector.Authenticator, intake collector.Intake) error {
	if err := form(w, req); err != nil {
		return err
	}
	src, err := sources.AuthenticateHTTP(w, req, Type)
	if err != nil {
		return transmitterError(err)
	}
	v := r.verifiers[src.Tenant+"/"+src.ID]
	if v == nil {
		return &setError{http.StatusBadRequest, accessDenied, "no transmitter is configured for this source"}
	}
	body, err := collector.ReadBody(w, req)
	if err != nil {
		return err
	}
	set, err := v.verify(req.Context(), body)
	if err != nil {
		var refused *setError
		if errors.As(err, &refused) {
			intake.Rejected(req.Context(), src, collector.ReasonMalformed, 1)
		}
		return err
	}
	return r.publish(req, src, v, set, intake)
}

func (r *Receiver) publish(req *http.Request, src *collector.Source, v *verifier, set *verified, intake collector.Intake) error {
	again, err := v.replay.before(set.id, set.hash)
	if err != nil {
		intake.Rejected(req.Context(), src, collector.ReasonInvalid, 1)
		return err
	}
	if again {
		r.tel.repeated.Add(req.Context(), 1)
		return nil
	}
	result, err := collector.TakeRecords(req.Context(), intake, src, Type, Parse, [][]byte{set.payload})
	if err != nil {
		return err
	}
	if len(result.Rejected) > 0 {
		return rejection(result.Rejected[0])
	}
	if result.Ignored > 0 {
		r.cfg.Logger.Info("a SET states no identity fact: a verification of the stream, or an event that is not kept", "source", src.ID, "jti", clip(set.id))
	}
	v.replay.remember(set.id, set.hash)
	return nil
}
