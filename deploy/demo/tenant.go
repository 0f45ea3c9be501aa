package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/custody-audit/custody/deploy/demo/delegate"
	"github.com/custody-audit/custody/deploy/demo/loopback"
	"github.com/custody-audit/custody/deploy/demo/pdp"
	"github.com/custody-audit/custody/deploy/demo/sts"
	"github.com/custody-audit/custody/deploy/demo/toolserver"
)

// tenant is a company at work.
type tenant struct {
	*company
	estate  *Estate
	ledger  *ledger
	http    *http.Client
	secrets map[string]string // by client id
	apiKey  string            // of the server that takes keys
	hashKey []byte            // makes the references of such keys

	humans  map[string]*sts.Human
	logins  *sts.Caller
	tokens  *loopback.Server // the authorization server
	pdp     *pdp.Engine
	agents  map[string]*delegate.Delegate
	urls    map[string]string // MCP endpoints by server id
	runtime *source           // what the agents' runtime reports
	sources []*source

	closers []func(context.Context) error // in the order of their starts
}

// callTimeout bounds one request inside the estate, the calls it leads to included.
const callTimeout = 30 * time.Second

// openTenant starts everything of a company. The tenant is to be closed even
// when an error is returned.
func (e *Estate) openTenant(ctx context.Context, c *company) (*tenant, error) {
	t := &tenant{
		company: c, estate: e, ledger: e.ledger, secrets: map[string]string{}, apiKey: "rpt_" + rand.Text(), hashKey: []byte(rand.Text()),
		http:   &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4 * actors}, Timeout: callTimeout},
		humans: map[string]*sts.Human{}, agents: map[string]*delegate.Delegate{}, urls: map[string]string{},
	}
	for _, start := range []func(context.Context) error{t.startPeople, t.startSTS, t.startPDP, t.startServers, t.startAgents} {
		if err := start(ctx); err != nil {
			return t, err
		}
	}
	return t, nil
}

// careless says whether things go wrong here.
func (t *tenant) careless() bool { return t.lenient != "" }

func (t *tenant) startPeople(context.Context) error {
	for _, id := range t.company.humans {
		h, err := sts.NewHuman(id)
		if err != nil {
			return err
		}
		t.humans[id] = h
	}
	for _, a := range t.company.agents {
		t.secrets[a.id] = rand.Text()
	}
	for _, id := range t.serverIDs() {
		t.secrets[id] = rand.Text()
	}
	return nil
}

func (t *tenant) startSTS(context.Context) error {
	out, err := t.source("sts")
	if err != nil {
		return err
	}
	cfg := sts.Config{Issuer: t.issuer(), Clients: t.clients(t.secrets), Sink: t.withholding(out), Logger: t.estate.cfg.Logger}
	for _, id := range t.company.humans {
		cfg.Users = append(cfg.Users, sts.User{ID: id, Key: t.humans[id].Public(), Scope: everyScope})
	}
	server, err := sts.New(cfg)
	if err != nil {
		return err
	}
	if t.tokens, err = t.serve(server); err != nil {
		return err
	}
	t.logins = &sts.Caller{TokenURL: t.tokenURL(), HTTP: t.http}
	return nil
}

func (t *tenant) tokenURL() string { return t.tokens.URL + sts.TokenPath }

func (t *tenant) startPDP(ctx context.Context) (err error) {
	t.pdp, err = pdp.New(ctx, pdp.Config{
		Tenant: t.name, CollectorURL: t.estate.cfg.CollectorURL, Key: t.estate.cfg.Keys[t.name+"-opa"], Rules: t.rules(), Logger: t.estate.cfg.Logger,
	})
	if err == nil {
		t.closers = append(t.closers, t.pdp.Close)
	}
	return err
}

// startServers starts those first that others call.
func (t *tenant) startServers(context.Context) error {
	for i := range t.servers {
		if err := t.startServer(&t.servers[i]); err != nil {
			return fmt.Errorf("%s: %w", t.servers[i].id, err)
		}
	}
	return nil
}

func (t *tenant) startServer(s *service) error {
	out, err := t.source(s.id)
	if err != nil {
		return err
	}
	d := t.delegate(s.id, s.version)
	cfg := toolserver.Config{
		Server: t.server(s), Issuer: t.issuer(), JWKSURL: t.tokens.URL + sts.JWKSPath, HTTP: t.http,
		PDP: t.pdp, Delegate: d, Sink: out, AcceptForeignAudience: s.id == t.lenient, Logger: t.estate.cfg.Logger,
		Passed: t.passed(s.id), Handled: t.handled(s.id), TypeOf: t.typeOf,
	}
	for _, f := range s.tools {
		cfg.Tools = append(cfg.Tools, t.tool(f))
	}
	if s.keyed {
		cfg.StaticKeys, cfg.SecretKey = map[string]string{t.apiKey: keyOwner}, t.hashKey
	}
	server, err := toolserver.New(cfg)
	if err != nil {
		return err
	}
	served, err := t.serve(server)
	if err != nil {
		return err
	}
	t.urls[s.id] = served.URL + toolserver.Path
	return nil
}

// tool resolves a feature's next hop to where it is served.
func (t *tenant) tool(f feature) toolserver.Tool {
	tool := toolserver.Tool{
		Name: f.name, Description: f.description, ReadOnly: f.readOnly, Destructive: f.destructive, Upstream: f.upstream,
		Undecided: f.undecided, IgnoresDeny: f.ignoresDeny,
	}
	if f.next != nil {
		tool.Next = &toolserver.Next{
			URL: t.urls[f.next.server], Server: f.next.server, Audience: t.uri(f.next.server), Tool: f.next.tool, Scope: f.next.scope, PassThrough: f.next.passThrough,
		}
	}
	return tool
}

func (t *tenant) passed(from string) func(toolserver.Hop) {
	return func(h toolserver.Hop) {
		if h.TokenRef != h.SubjectRef {
			t.ledger.step(Step{
				Kind: StepExchange, Began: h.Began, Tenant: t.name, TraceID: h.TraceID, Actor: from, TokenRef: h.TokenRef, ParentRef: h.SubjectRef,
				Scope: h.Scope, Server: h.Server,
			})
		}
		t.ledger.pass(h.TraceID, passed{from: from, server: h.Server, tool: h.Tool, tokenRef: h.TokenRef, jsonrpcID: h.JSONRPCID})
	}
}

func (t *tenant) startAgents(context.Context) (err error) {
	for _, a := range t.company.agents {
		t.agents[a.id] = t.delegate(a.id, "1.0.0")
	}
	t.runtime, err = t.source("agents")
	return err
}

func (t *tenant) delegate(id, version string) *delegate.Delegate {
	d := delegate.New(delegate.Config{ID: id, Secret: t.secrets[id], Version: version, TokenURL: t.tokenURL(), HTTP: t.http})
	t.closers = append(t.closers, func(context.Context) error { d.Close(); return nil }) // the servers keep no session
	return d
}

func (t *tenant) serve(h http.Handler) (*loopback.Server, error) {
	s, err := loopback.Serve(h)
	if err == nil {
		t.closers = append(t.closers, s.Close)
	}
	return s, err
}

// pace waits until the estate may make another call.
func (t *tenant) pace(ctx context.Context) error {
	t.estate.score.call()
	return t.estate.pacer.Wait(ctx)
}

// close stops everything, last started first: agents, servers, OPA, and in the
// end the emitters, each of which waits until the collector has what it was given.
func (t *tenant) close(ctx context.Context) error {
	t.http.CloseIdleConnections() // a connection that was never used keeps its server waiting for 5 s
	var errs []error
	for _, c := range slices.Backward(t.closers) {
		errs = append(errs, c(ctx))
	}
	return errors.Join(errs...)
}
