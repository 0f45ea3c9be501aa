package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/schemas/dial"
)

type serveConfig struct {
	Address             string `koanf:"address" help:"address of the HTTP API; beyond this machine it wants TLS; empty: none (\"custody run\")"`
	Keys                string `koanf:"keys" help:"file of the API keys; \"custody apikey add\" adds one; it is looked at again every 2 s"`
	TenantPasswordDir   string `koanf:"tenant_password_dir" help:"folder with a file for each tenant, named as it: the password of ClickHouse's user custody_auditor_TENANT; a tenant without one is not served; a local installation has these users by itself"`
	HandlerPasswordFile string `koanf:"handler_password_file" help:"file with the password of ClickHouse's user custody_handler, who writes down what is done about findings; empty: nothing can be done about them here; a local installation has the user by itself"`
	ReportKeyFile       string `koanf:"report_key_file" help:"private key that signs the proof bundles of the API, so that the log's key need not be here; empty: seal.key_file; without either, or without seal.dir, it makes none"`
	OwnTenant           string `koanf:"own_tenant" help:"tenant in whose log a read of all tenants together is recorded"`
	QueriesDir          string `koanf:"queries_dir" help:"folder with a file of saved filters for each tenant; empty: none are kept (\"custody run\": \"queries\" in data_dir)"`
	FailOpen            bool   `koanf:"fail_open" help:"answer also while reads cannot be recorded; they are then logged only"`
	Console             bool   `koanf:"console" help:"serve the web console beside the API"`
	PlainHTTP           bool   `koanf:"plain_http" help:"listen beyond this machine without TLS, behind a proxy that ends it"`

	TLS    serveTLSConfig    `koanf:"tls"`
	Limits serveLimitsConfig `koanf:"limits"`
	OIDC   serveOIDCConfig   `koanf:"oidc"`
}

type serveTLSConfig struct {
	CertFile string `koanf:"cert_file" help:"the API's certificate, PEM; it is read again when it changes; empty: no TLS"`
	KeyFile  string `koanf:"key_file" help:"its private key, PEM"`
}

type serveLimitsConfig struct {
	Rows        int           `koanf:"rows" help:"most rows of one answer, up to 9999"`
	ExportRows  int           `koanf:"export_rows" help:"most events of one export"`
	AnswerBytes int64         `koanf:"answer_bytes" help:"most bytes that ClickHouse answers one query with"`
	MemoryBytes int64         `koanf:"memory_bytes" help:"most memory of one query in ClickHouse"`
	Timeout     time.Duration `koanf:"timeout" help:"most time of one question"`
	PerSecond   int           `koanf:"per_second" help:"requests of one caller per second"`
	Burst       int           `koanf:"burst" help:"how many of them may come at once"`
	PerCaller   int           `koanf:"per_caller" help:"requests of one caller that run at a time"`
	Together    int           `koanf:"together" help:"requests of all callers that run at a time; also the most connections to ClickHouse for one tenant"`
}

type serveOIDCConfig struct {
	Issuer           string        `koanf:"issuer" help:"OpenID issuer whose users and tokens are accepted; empty: API keys only"`
	Audience         string        `koanf:"audience" help:"audience that access tokens must have: this API; empty: no access token is accepted"`
	ClientID         string        `koanf:"client_id" help:"client of logins in the browser; empty: no logins"`
	ClientSecretFile string        `koanf:"client_secret_file" help:"file with its secret; empty: a public client"`
	URL              string        `koanf:"url" help:"how browsers reach the API, as https://custody.example; the issuer must know URL/auth/callback; empty: the address"`
	Scopes           []string      `koanf:"scopes" help:"asked for at a login beside openid, so that the ID token has the claims below"`
	Algorithms       []string      `koanf:"algorithms" help:"that tokens may be signed with"`
	RoleClaim        string        `koanf:"role_claim" help:"claim with the roles, a text or a list; dots step into objects, as realm_access.roles"`
	TenantClaim      string        `koanf:"tenant_claim" help:"claim with the tenants, likewise"`
	Roles            []string      `koanf:"roles" help:"what the values of role_claim are here, as VALUE=ROLE with analyst, responder, auditor, admin"`
	Tenants          []string      `koanf:"tenants" help:"what the values of tenant_claim are here, as VALUE=TENANT; * is all tenants; empty: the values are the tenants"`
	SessionTime      time.Duration `koanf:"session_time" help:"how long a login lasts"`
}

func serveDefaults() serveConfig {
	return serveConfig{
		Address: "127.0.0.1:7370", Keys: "apikeys.yaml", OwnTenant: "custody", Console: true,
		Limits: serveLimitsConfig{Rows: 1000, ExportRows: 1_000_000, AnswerBytes: 64 << 20, MemoryBytes: 1_000_000_000, Timeout: 30 * time.Second, PerSecond: 10, Burst: 50, PerCaller: 4, Together: 16},
		OIDC:   serveOIDCConfig{Algorithms: []string{"RS256", "ES256"}, RoleClaim: "roles", TenantClaim: "tenant", SessionTime: 8 * time.Hour},
	}
}

func (c *serveConfig) validate() error {
	var errs []error
	want := func(ok bool, key, reason string) {
		if !ok {
			errs = append(errs, fmt.Errorf("serve.%s: %s", key, reason))
		}
	}
	want((c.TLS.CertFile == "") == (c.TLS.KeyFile == ""), "tls", "want cert_file and key_file both, or neither")
	want(c.Limits.Rows > 0 && c.Limits.Rows <= 9999, "limits.rows", "want 1 to 9999")
	want(c.Limits.ExportRows > 0, "limits.export_rows", "want at least 1")
	want(c.Limits.AnswerBytes > 0, "limits.answer_bytes", "want more than 0")
	want(c.Limits.MemoryBytes > 0 && c.Limits.MemoryBytes <= 1_000_000_000, "limits.memory_bytes", "want 1 to 1000000000, which is what ClickHouse's roles for readers allow")
	want(c.Limits.Timeout >= time.Second && c.Limits.Timeout <= 290*time.Second, "limits.timeout", "want 1s to 290s: ClickHouse's roles for readers allow little more")
	want(c.Limits.PerSecond > 0 && c.Limits.Burst > 0, "limits", "want per_second and burst of at least 1")
	want(c.Limits.PerCaller > 0 && c.Limits.Together > 0, "limits", "want per_caller and together of at least 1")
	want(c.OIDC.SessionTime > 0, "oidc.session_time", "want more than 0")
	if c.Address != "" && c.TLS.CertFile == "" && !c.PlainHTTP {
		want(loopback(c.Address), "address", fmt.Sprintf("%q is beyond this machine: want serve.tls, or serve.plain_http behind a proxy that ends TLS", c.Address))
	}
	return errors.Join(errs...)
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// limits are those of the API.
func (c *serveLimitsConfig) limits() api.Limits {
	return api.Limits{Rows: c.Rows, ExportRows: c.ExportRows, Timeout: c.Timeout, PerSecond: c.PerSecond, Burst: c.Burst, PerCaller: c.PerCaller, Together: c.Together}
}

// provider returns the issuer; nil without one. url is what browsers reach when
// nothing else is configured.
func (c *serveOIDCConfig) provider(url string) (*api.OIDC, error) {
	if c.Issuer == "" {
		return nil, nil
	}
	cfg := api.OIDCConfig{
		Issuer: c.Issuer, Audience: c.Audience, ClientID: c.ClientID, URL: c.URL, Scopes: c.Scopes, Algorithms: c.Algorithms,
		RoleClaim: c.RoleClaim, TenantClaim: c.TenantClaim, SessionTime: c.SessionTime, Roles: map[string]api.Role{}, Tenants: map[string]string{},
	}
	if cfg.URL == "" {
		cfg.URL = url
	}
	errs := []error{
		pairs("roles", c.Roles, func(value, role string) { cfg.Roles[value] = api.Role(role) }),
		pairs("tenants", c.Tenants, func(value, tenant string) { cfg.Tenants[value] = tenant }),
	}
	if c.ClientSecretFile != "" {
		secret, err := dial.Secret("serve.oidc.client_secret_file", c.ClientSecretFile)
		cfg.ClientSecret = secret
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	o, err := api.NewOIDC(cfg)
	if err != nil {
		return nil, fmt.Errorf("serve.oidc: %w", err)
	}
	return o, nil
}

// pairs reads a list of VALUE=MEANING; a value may have "=" in it.
func pairs(key string, list []string, take func(value, meaning string)) error {
	for _, text := range list {
		at := strings.LastIndexByte(text, '=')
		if at < 1 {
			return fmt.Errorf("serve.oidc.%s: want VALUE=MEANING, got %q", key, text)
		}
		take(text[:at], text[at+1:])
	}
	return nil
}
