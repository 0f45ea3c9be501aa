package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/schemas/event"
)

// issuer is an OpenID issuer: it signs what it is told to, and performs the
// authorization code flow with PKCE for whoever comes.
type issuer struct {
	testing.TB
	url  string
	key  *ecdsa.PrivateKey
	user map[string]any // claims of who logs in

	asked atomic.Int64 // for the keys
	away  atomic.Bool  // answers no more about the keys

	mu    sync.Mutex
	codes map[string]url.Values // of the authorization request; guarded by mu
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{TB: t, key: key, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	i.url = s.URL
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"issuer": i.url, "jwks_uri": i.url + "/keys", "authorization_endpoint": i.url + "/authorize", "token_endpoint": i.url + "/token",
			"id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		if i.away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		reply(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		q, code := r.URL.Query(), rand.Text()
		i.mu.Lock()
		i.codes[code] = q
		i.mu.Unlock()
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		asked := i.codes[r.PostFormValue("code")]
		delete(i.codes, r.PostFormValue("code"))
		i.mu.Unlock()
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if asked == nil || asked.Get("code_challenge_method") != "S256" || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
			w.WriteHeader(http.StatusBadRequest)
			reply(w, map[string]string{"error": "invalid_grant"})
			return
		}
		claims := i.claims(asked.Get("client_id"), map[string]any{"nonce": asked.Get("nonce")})
		maps.Copy(claims, i.user)
		reply(w, map[string]any{"access_token": "opaque", "token_type": "Bearer", "id_token": i.sign(claims)})
	})
	return i
}

func (i *issuer) claims(audience string, more map[string]any) map[string]any {
	c := map[string]any{"iss": i.url, "sub": "user-1", "aud": audience, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(c, more)
	return c
}

func (i *issuer) sign(claims map[string]any) string { return i.signWith(jose.ES256, i.key, claims) }

func (i *issuer) signWith(algorithm jose.SignatureAlgorithm, key any, claims map[string]any) string {
	i.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		i.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		i.Fatal(err)
	}
	return raw
}

func (i *issuer) config() api.OIDCConfig {
	return api.OIDCConfig{
		Issuer: i.url, Audience: "custody-api", ClientID: "custody-web", URL: "https://127.0.0.1:1", RoleClaim: "realm_access.roles", TenantClaim: "org",
		Roles: map[string]api.Role{"sec-analysts": api.Analyst, "sec-audit": api.Auditor}, Tenants: map[string]string{"Acme Inc.": "acme", "soc": api.AllTenants},
	}
}

func oidcServer(t *testing.T, cfg api.OIDCConfig, connect api.Connect) (*server, *api.OIDC) {
	t.Helper()
	o, err := api.NewOIDC(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, api.Config{Connect: connect, OIDC: o, Secure: true}), o
}

func roles(names ...string) map[string]any { return map[string]any{"roles": names} }

// An access token of the issuer for this API makes its bearer a caller, with what
// its claims mean here; any other makes nobody, or somebody who may nothing.
func TestAccessTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, _ := oidcServer(t, i.config(), twoWalls(tell(t)))
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := func(more map[string]any) map[string]any {
		c := i.claims("custody-api", map[string]any{"realm_access": roles("sec-analysts"), "org": "Acme Inc."})
		maps.Copy(c, more)
		return c
	}
	unsigned := func(claims map[string]any) string {
		b, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(b) + "."
	}
	for _, x := range []struct {
		what, token string
		status      int
	}{
		{"good", i.sign(good(nil)), 200},
		{"several audiences", i.sign(good(map[string]any{"aud": []string{"other", "custody-api"}})), 200},
		{"all tenants", i.sign(good(map[string]any{"org": []string{"soc"}})), 200},
		{"expired", i.sign(good(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()})), 401},
		{"without an end", i.sign(good(map[string]any{"exp": nil})), 401},
		{"not yet", i.sign(good(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()})), 401},
		{"for another", i.sign(good(map[string]any{"aud": "other"})), 401},
		{"an ID token", i.sign(good(map[string]any{"aud": "custody-web"})), 401},
		{"of another issuer", i.sign(good(map[string]any{"iss": "https://evil.example"})), 401},
		{"of another key", i.signWith(jose.ES256, other, good(nil)), 401},
		{"of an algorithm that is not pinned", i.signWith(jose.HS256, make([]byte, 32), good(nil)), 401},
		{"unsigned", unsigned(good(nil)), 401},
		{"without a subject", i.sign(good(map[string]any{"sub": ""})), 401},
		{"no token at all", "a.b.c", 401},
		{"a role that means nothing here", i.sign(good(map[string]any{"realm_access": roles("admin", "analyst")})), 403},
		{"no role", i.sign(good(map[string]any{"realm_access": nil})), 403},
		{"a tenant that means nothing here", i.sign(good(map[string]any{"org": "globex"})), 403},
		{"the mark of all tenants as a claim", i.sign(good(map[string]any{"org": "*"})), 403},
		{"no tenant", i.sign(good(map[string]any{"org": nil})), 403},
	} {
		s.book.taken()
		a := s.as(x.token, "GET", "/api/v1/events", nil)
		if a.status != x.status {
			t.Errorf("%s: %d %s, want %d", x.what, a.status, a.body, x.status)
		}
		if strings.Contains(string(a.body), x.token) {
			t.Errorf("%s: the answer repeats the token", x.what)
		}
		taken := s.book.taken()
		if (x.status != 401) != (len(taken) == 1) {
			t.Errorf("%s: %d events recorded", x.what, len(taken))
		}
		if x.what == "good" && (taken[0].Subject.Iss != i.url || taken[0].Token.Ref != event.TokenRef(x.token) || taken[0].Token.Verified != event.TokenVerified) {
			t.Errorf("recorded %s", taken[0].Canonical())
		}
	}
	type who struct{ Roles, Tenants []string }
	got := get[who](s, i.sign(good(map[string]any{"realm_access": roles("sec-audit", "sec-analysts", "x"), "org": []string{"Acme Inc.", "soc"}})), "/api/v1/whoami")
	if diff := cmp.Diff(who{[]string{"auditor", "analyst"}, []string{"*"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The issuer is asked for its keys once, not for every token nor for every key that
// somebody makes up, and again when they are old: a key that it withdrew goes.
func TestKeysOfTheIssuer(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	var later atomic.Int64 // seconds
	cfg := i.config()
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Second) }
	s, _ := oidcServer(t, cfg, nowhere)
	claims := i.claims("custody-api", map[string]any{"realm_access": roles("sec-analysts"), "org": "Acme Inc.", "exp": time.Now().Add(24 * time.Hour).Unix()})
	good := i.sign(claims)
	made := strings.Replace(good, good[:strings.Index(good, ".")], base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"made-up"}`)), 1)
	want := func(what, token string, status int, asked int64) {
		t.Helper()
		if a := s.as(token, "GET", "/api/v1/whoami", nil); a.status != status || i.asked.Load() != asked {
			t.Errorf("%s: %d %s, asked %d times; want %d and %d", what, a.status, a.body, i.asked.Load(), status, asked)
		}
	}
	for range 3 {
		want("a good token", good, 200, 1)
		want("a key that nobody has", made, 401, 1)
	}
	later.Store(10)
	want("a key that nobody has, later", made, 401, 2)
	want("and again", made, 401, 2)
	want("a good token", good, 200, 2)
	later.Store(2 * 3600)
	i.away.Store(true)
	want("the keys are old and the issuer is away", good, 503, 3)
	want("and again", good, 503, 3)
	i.away.Store(false)
	later.Add(10)
	want("it is back", good, 200, 4)
}

// An issuer that is away is no reason to let anybody in, nor to say why.
func TestIssuerIsAway(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	cfg := i.config()
	cfg.Issuer = "http://127.0.0.1:1"
	s, _ := oidcServer(t, cfg, nowhere)
	a := s.as(i.sign(i.claims("custody-api", nil)), "GET", "/api/v1/whoami", nil)
	if a.status != 503 || a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "127.0.0.1") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// browser follows redirects and keeps cookies.
func browser(t *testing.T, s *server) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: s.client.Transport, Jar: jar}
}

// visit asks as a browser does, with headers as pairs.
func visit(t *testing.T, c *http.Client, method, target string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(`{"token":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for n := 0; n < len(headers); n += 2 {
		req.Header.Set(headers[n], headers[n+1])
	}
	return (&server{TB: t, client: c}).do(req)
}

// What a browser is redirected to comes from the issuer as the login's end does; so the
// login leads on by a page. Where another site began the login, it does not say where to.
func TestLoginLeadsOn(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.user = map[string]any{"realm_access": roles("sec-analysts"), "org": "Acme Inc."}
	s := loginServer(t, i, nowhere)
	for begun, want := range map[string]string{"same-origin": "/api/v1/retention", "cross-site": "/api/v1/whoami"} {
		c := browser(t, s)
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		at := s.url + "/auth/login?return=/api/v1/retention"
		for at != "" {
			from := "cross-site"
			if strings.HasPrefix(at, s.url+"/auth/login") {
				from = begun
			}
			a := visit(t, c, "GET", at, "Sec-Fetch-Site", from)
			if at = a.header.Get("Location"); at == "" && (a.status != 200 || a.header.Get("Refresh") != "0; url="+want) {
				t.Errorf("begun from %s: %d, leads to %q, want %q", begun, a.status, a.header.Get("Refresh"), want)
			}
		}
	}
}

// A login is a session of the browser that began it, and of nothing else.
func TestLogin(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.user = map[string]any{"realm_access": roles("sec-analysts"), "org": "Acme Inc.", "email": "alice@acme.example"}
	s := loginServer(t, i, nowhere)
	c := browser(t, s)
	if a := visit(t, c, "GET", s.url+"/api/v1/whoami"); a.status != 401 {
		t.Fatalf("before: %d %s", a.status, a.body)
	}
	a := visit(t, c, "GET", s.url+"/auth/login") // to the issuer, back, and to whoami
	if a.status != 200 || !strings.Contains(string(a.body), `"by":"session"`) {
		t.Fatalf("login: %d %s", a.status, a.body)
	}
	started := s.book.taken()
	if len(started) != 1 || started[0].Type != event.TypeSessionStarted || started[0].Subject.Sub != "user-1" || started[0].Tenant != "acme" || started[0].Subject.Type != event.Human {
		t.Errorf("recorded %v", started)
	}
	checkCookies(t, i, s)
	for _, x := range []struct {
		what, method string
		headers      []string
		status       int
	}{
		{"a page of ours", "POST", []string{"Sec-Fetch-Site", "same-origin"}, 503}, // that is: it came through to the database
		{"an older browser", "POST", []string{"Origin", s.url}, 503},
		{"another site", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"another host of the site", "POST", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"another site, older browser", "POST", []string{"Origin", "https://evil.example"}, 403},
		{"who does not say", "POST", nil, 403},
		{"a read of another site", "GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 403},
		{"a picture in a page of another port", "GET", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403},
		{"a read that somebody types", "GET", []string{"Sec-Fetch-Site", "none"}, 503},
		{"a read of a page of ours", "GET", []string{"Sec-Fetch-Site", "same-origin"}, 503},
		{"a read of a browser that does not say", "GET", nil, 503},
	} {
		if a := visit(t, c, x.method, s.url+"/api/v1/chain"+map[string]string{"GET": "?start=" + event.TokenRef("x")}[x.method], x.headers...); a.status != x.status {
			t.Errorf("%s: %d %s, want %d", x.what, a.status, a.body, x.status)
		}
	}
	if a := visit(t, c, "POST", s.url+"/auth/logout", "Sec-Fetch-Site", "cross-site"); a.status != 403 {
		t.Errorf("another site logs out: %d", a.status)
	}
	s.book.taken()
	if a := visit(t, c, "POST", s.url+"/auth/logout", "Sec-Fetch-Site", "same-origin"); a.status != 204 {
		t.Errorf("logout: %d %s", a.status, a.body)
	}
	if ended := s.book.taken(); len(ended) != 1 || ended[0].Type != event.TypeSessionEnded || ended[0].Correlation.SessionID != started[0].Correlation.SessionID {
		t.Errorf("recorded %v", ended)
	}
	if a := visit(t, c, "GET", s.url+"/api/v1/whoami"); a.status != 401 {
		t.Errorf("after: %d %s", a.status, a.body)
	}
}

// loginServer knows its own address, as the issuer must.
func loginServer(t *testing.T, i *issuer, connect api.Connect) *server {
	t.Helper()
	var front http.Handler
	h := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { front.ServeHTTP(w, r) }))
	t.Cleanup(h.Close)
	cfg := i.config()
	cfg.URL = h.URL
	o, err := api.NewOIDC(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{TB: t, url: h.URL, client: h.Client(), book: &book{}}
	a, err := api.New(api.Config{Connect: connect, OIDC: o, Recorder: s.book, Secure: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	front = a
	return s
}

// checkCookies looks at what a login sets.
func checkCookies(t *testing.T, i *issuer, s *server) {
	t.Helper()
	c := browser(t, s)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for next, n := s.url+"/auth/login", 0; n < 3; n++ {
		a := visit(t, c, "GET", next)
		for _, set := range a.header.Values("Set-Cookie") {
			for _, want := range []string{"__Host-custody-", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
				if !strings.Contains(set, want) {
					t.Errorf("cookie %q has no %s", set, want)
				}
			}
			if strings.Contains(set, "Domain") {
				t.Errorf("cookie %q has a domain", set)
			}
		}
		next = a.header.Get("Location")
		if strings.HasPrefix(next, "/") {
			next = s.url + next
		}
	}
}

// A login that somebody else began, that is repeated, or that the issuer did not
// mean for us, is none.
func TestForgedLogins(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.user = map[string]any{"realm_access": roles("sec-analysts"), "org": "Acme Inc."}
	s := loginServer(t, i, nowhere)
	stop := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	attacker, victim := browser(t, s), browser(t, s)
	attacker.CheckRedirect, victim.CheckRedirect = stop, stop
	begin := func(c *http.Client) string { // the address that the issuer sends the browser back to
		toIssuer := visit(t, c, "GET", s.url+"/auth/login").header.Get("Location")
		return visit(t, c, "GET", toIssuer).header.Get("Location")
	}
	theirs := begin(attacker)
	begin(victim)
	if a := visit(t, victim, "GET", theirs); a.status != 400 || slices.ContainsFunc(a.header.Values("Set-Cookie"), isSession) {
		t.Errorf("the victim is logged in as the attacker: %d %s", a.status, a.body)
	}
	own := begin(victim)
	if a := visit(t, victim, "GET", own); a.status != 302 {
		t.Errorf("a good login: %d %s", a.status, a.body)
	}
	if a := visit(t, victim, "GET", own); a.status != 400 {
		t.Errorf("a login again: %d %s", a.status, a.body)
	}
	for what, change := range map[string]func(url.Values){
		"no state":      func(q url.Values) { q.Del("state") },
		"another state": func(q url.Values) { q.Set("state", "x") },
		"another code":  func(q url.Values) { q.Set("code", "x") },
		"an error":      func(q url.Values) { q.Set("error", "access_denied") },
	} {
		c := browser(t, s)
		c.CheckRedirect = stop
		back, err := url.Parse(begin(c))
		if err != nil {
			t.Fatal(err)
		}
		q := back.Query()
		change(q)
		back.RawQuery = q.Encode()
		if a := visit(t, c, "GET", back.String()); a.status != 400 && a.status != 403 || slices.ContainsFunc(a.header.Values("Set-Cookie"), isSession) {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	for what, user := range map[string]map[string]any{
		"another nonce":    {"nonce": "x"},
		"another audience": {"aud": "other"},
		"expired":          {"exp": time.Now().Add(-time.Minute).Unix()},
		"no role":          {"realm_access": nil},
		"no tenant":        {"org": nil},
	} {
		good := i.user
		i.user = maps.Clone(good)
		maps.Copy(i.user, user)
		c := browser(t, s)
		c.CheckRedirect = stop
		if a := visit(t, c, "GET", begin(c)); a.status != 403 || slices.ContainsFunc(a.header.Values("Set-Cookie"), isSession) {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
		i.user = good
	}
	for _, back := range []string{"https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "x"} {
		if a := visit(t, victim, "GET", s.url+"/auth/login?return="+url.QueryEscape(back)); a.status != 422 {
			t.Errorf("a login returns to %s: %d", back, a.status)
		}
	}
	if a := visit(t, victim, "GET", s.url+"/auth/login"); !strings.HasPrefix(a.header.Get("Location"), i.url+"/authorize?") || !strings.Contains(a.header.Get("Location"), "code_challenge_method=S256") {
		t.Errorf("login goes to %s", a.header.Get("Location"))
	}
}

func isSession(cookie string) bool {
	return strings.HasPrefix(cookie, "__Host-custody-session=") && !strings.HasPrefix(cookie, "__Host-custody-session=;")
}

func TestOIDCIsChecked(t *testing.T) {
	t.Parallel()
	good := (&issuer{TB: t, url: "https://sso.example"}).config()
	for want, change := range map[string]func(*api.OIDCConfig){
		"issuer":                  func(c *api.OIDCConfig) { c.Issuer = "http://sso.example" },
		"want audience":           func(c *api.OIDCConfig) { c.Audience, c.ClientID = "", "" },
		"ID tokens would be":      func(c *api.OIDCConfig) { c.Audience = c.ClientID },
		"url":                     func(c *api.OIDCConfig) { c.URL = "http://custody.example" },
		"roles: want what":        func(c *api.OIDCConfig) { c.Roles = nil },
		`"root": want one of`:     func(c *api.OIDCConfig) { c.Roles = map[string]api.Role{"x": "root"} },
		"tenants":                 func(c *api.OIDCConfig) { c.Tenants = map[string]string{"x": "A B"} },
		`algorithms "HS256"`:      func(c *api.OIDCConfig) { c.Algorithms = []string{"HS256"} },
		`algorithms "none": want`: func(c *api.OIDCConfig) { c.Algorithms = []string{"none"} },
	} {
		cfg := good
		change(&cfg)
		if _, err := api.NewOIDC(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
