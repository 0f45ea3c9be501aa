// Package console is the web console: pages for people who would rather look than
// read. It is a client of package api, in the same process: a page asks the API's
// operations as the caller whose session the browser has, so that roles, tenants,
// limits and the record of each read are the API's, and in one place. It has no
// connection to a database and keeps nothing.
//
// What events say was chosen by others: html/template escapes it, [show] makes it
// visible, and the Content-Security-Policy lets no script run but ours. Each page can
// be read without JavaScript.
package console

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Config configures a Console.
type Config struct {
	// API answers what pages ask, and requests for itself: all below /api/ and /auth/.
	// Required.
	API http.Handler
	// Login says that the API logs browsers in by OpenID Connect.
	Login bool
	// Links says that the API begins sessions by links.
	Links bool
	// Secure says that requests come over TLS, here or at a proxy in front.
	Secure bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	// Logger hears of internal errors. Required.
	Logger *slog.Logger
}

// Console serves the pages, and the API beside them. It is safe for concurrent use.
type Console struct {
	cfg     Config
	assets  *assets
	views   views
	handler http.Handler
	uploads chan struct{} // one for each file that is being read
}

// maxUploads is how many files are read at the same time.
const maxUploads = 2

// New returns a Console.
func New(cfg Config) (*Console, error) {
	if cfg.API == nil || cfg.Logger == nil {
		return nil, errors.New("console: API and Logger are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Console{cfg: cfg, uploads: make(chan struct{}, maxUploads)}
	var err error
	if c.assets, err = newAssets(); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if c.views, err = newViews(c.assets); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", cfg.API)
	mux.HandleFunc("/auth/", c.auth)
	mux.HandleFunc("GET /login", c.login)
	mux.HandleFunc("POST /logout", c.logout)
	mux.Handle("GET "+assetPrefix, c.assets)
	for _, p := range pages {
		mux.HandleFunc(p.pattern, c.page(p))
	}
	mux.HandleFunc("/", c.page(page{show: func(*request) (*view, error) { return nil, errNoPage }}))
	c.handler = mux
	return c, nil
}

// ServeHTTP implements [http.Handler].
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/api/") { // the API has its own, and its own bounds
		headers(w.Header())
		if c.cfg.Secure {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		r.Body = http.MaxBytesReader(w, r.Body, formLimit(r))
	}
	c.handler.ServeHTTP(w, r)
}

// maxForm bounds what is read of a form, in bytes.
const maxForm = 256 << 10

// formLimit is larger for a page that takes a file.
func formLimit(r *http.Request) int64 {
	for _, p := range pages {
		if p.maxBody > 0 && p.pattern == r.Method+" "+r.URL.Path {
			return p.maxBody
		}
	}
	return maxForm
}

// policy lets a page use what this server serves and nothing else: no script, style or
// frame of another, none that stands in the page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func headers(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}
