// Package pdp is the policy decision point of one tenant of the demo estate:
// Open Policy Agent inside the process, with its policy fetched as a bundle from
// a small local server and its own decision log uploaded to the collector.
//
// Decisions are OPA's, and so are their ids, the log entries and the upload
// protocol. The question carries what joins a decision to its call (references,
// ids, names) and never a token. [Engine.Close] returns nil only when the
// collector acknowledged every decision that was made.
package pdp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/logging"
	"github.com/open-policy-agent/opa/v1/plugins/logs"
	"github.com/open-policy-agent/opa/v1/sdk"

	"github.com/custody-audit/custody/deploy/demo/loopback"
)

// Config configures an Engine.
type Config struct {
	// Tenant whose calls are decided.
	Tenant string
	// CollectorURL is the collector's address without a path; Key opens its OPA endpoint.
	CollectorURL, Key string
	// Rules by server id and tool name.
	Rules map[string]map[string]Rule
	// UploadEvery is how often the decision log is uploaded; 0 is half a second.
	UploadEvery time.Duration

	Logger *slog.Logger
}

// Rule says who may call a tool.
type Rule struct {
	// Scope that the token must hold.
	Scope []string `json:"scope,omitempty"`
	// Actors who may act; empty for any.
	Actors []string `json:"actors,omitempty"`
	// HumanOnly refuses every delegated call.
	HumanOnly bool `json:"human_only,omitempty"`
}

// Decision is an answer.
type Decision struct {
	// ID is OPA's, as its decision log has it.
	ID string
	// Allow is the answer, Reason what spoke against it.
	Allow  bool
	Reason string
}

// Engine answers questions. It is safe for concurrent use.
type Engine struct {
	opa    *sdk.OPA
	bundle *loopback.Server
	tenant string
	made   atomic.Int64

	// One decision at a time: in OPA 1.22.2 every evaluation writes to the rule
	// tracker of the first one, which is a data race.
	deciding  sync.Mutex
	uploading sync.Mutex // one upload at a time, so that "nothing is left" is certain
	stop      context.CancelFunc
	stopped   chan struct{}
}

// New starts OPA and waits until the policy is loaded.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.UploadEvery == 0 {
		cfg.UploadEvery = 500 * time.Millisecond
	}
	b, err := serveBundle(cfg)
	if err != nil {
		return nil, err
	}
	opa, err := sdk.New(ctx, sdk.Options{
		ID: cfg.Tenant + "-opa", Config: bytes.NewReader(opaConfig(cfg, b.URL)),
		Logger: newLogger(cfg.Logger), ConsoleLogger: logging.NewNoOpLogger(),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start OPA: %w", err), b.Close(ctx))
	}
	uploads, stop := context.WithCancel(context.WithoutCancel(ctx))
	e := &Engine{opa: opa, bundle: b, tenant: cfg.Tenant, stop: stop, stopped: make(chan struct{})}
	go e.uploadEvery(uploads, cfg.UploadEvery)
	return e, nil
}

// opaConfig is OPA's configuration. The upload is triggered by this package
// instead of OPA's timer: OPA's own one cannot be waited for.
func opaConfig(cfg Config, bundleURL string) []byte {
	type object = map[string]any
	b, _ := json.Marshal(object{ // strings and numbers only
		"services": object{
			"bundles": object{"url": bundleURL},
			"custody": object{
				"url":         strings.TrimSuffix(cfg.CollectorURL, "/") + "/v1/opa",
				"credentials": object{"bearer": object{"token": cfg.Key}},
			},
		},
		"bundles":          object{"mcp": object{"service": "bundles", "resource": bundlePath}},
		"decision_logs":    object{"service": "custody", "reporting": object{"trigger": "manual"}},
		"default_decision": "/mcp/decision",
		"labels":           object{"tenant": cfg.Tenant},
	})
	return b
}

// Decide asks OPA. A question that could not be answered is an error, and is in
// the decision log as one.
func (e *Engine) Decide(ctx context.Context, q Question) (Decision, error) {
	q.Tenant = e.tenant
	result, err := e.evaluate(ctx, q.input())
	if result != nil {
		e.made.Add(1)
	}
	if err != nil {
		return Decision{}, fmt.Errorf("decide on %s of %s: %w", q.Tool, q.Server.ID, err)
	}
	answer, _ := result.Result.(map[string]any)
	allow, ok := answer["allow"].(bool)
	if !ok {
		return Decision{ID: result.ID}, fmt.Errorf("decide on %s of %s: the policy answered %T", q.Tool, q.Server.ID, result.Result)
	}
	reason, _ := answer["reason"].(string)
	return Decision{result.ID, allow, reason}, nil
}

func (e *Engine) evaluate(ctx context.Context, input any) (*sdk.DecisionResult, error) {
	e.deciding.Lock()
	defer e.deciding.Unlock()
	return e.opa.Decision(ctx, sdk.DecisionOptions{Path: "/mcp/decision", Input: input})
}

// Made is the number of decisions in the log, uploaded or not.
func (e *Engine) Made() int { return int(e.made.Load()) }

func (e *Engine) uploadEvery(ctx context.Context, interval time.Duration) {
	defer close(e.stopped)
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			e.uploadNow(ctx)
		}
	}
}

// uploadNow does not stop half-way when ctx ends: OPA would send again what the
// collector has already. What fails stays in OPA's buffer for the next time.
func (e *Engine) uploadNow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), uploadTimeout)
	defer cancel()
	e.upload(ctx)
}

const uploadTimeout = 10 * time.Second

// upload sends what is in OPA's buffer and says how many bytes are left there.
func (e *Engine) upload(ctx context.Context) (left int64, err error) {
	e.uploading.Lock()
	defer e.uploading.Unlock()
	plugin, ok := e.opa.Plugin(logs.Name).(*logs.Plugin)
	if !ok {
		return 0, errors.New("OPA runs without its decision log")
	}
	if err := plugin.Trigger(ctx); err != nil {
		return 0, fmt.Errorf("upload decisions: %w", err)
	}
	_, left = plugin.BufferSize()
	return left, nil
}

// Close uploads the rest of the decision log, for as long as ctx allows, and stops OPA.
func (e *Engine) Close(ctx context.Context) error {
	e.stop()
	<-e.stopped
	err := e.drain(ctx)
	e.opa.Stop(ctx)
	return errors.Join(err, e.bundle.Close(ctx))
}

func (e *Engine) drain(ctx context.Context) error {
	for {
		left, err := e.upload(ctx)
		if err == nil && left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, fmt.Errorf("decision log not uploaded: %w", ctx.Err()))
		case <-time.After(200 * time.Millisecond):
		}
	}
}
