package demo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/deploy/demo/delegate"
	"github.com/custody-audit/custody/deploy/demo/sts"
	"github.com/custody-audit/custody/schemas/event"
)

// act is one enactment of a scenario: one task of one human. Everything random
// about it comes from the seed and its number, so that it is the same in every
// run, whatever runs beside it.
type act struct {
	*tenant
	scenario    string
	human       *sts.Human
	subject     string
	task        string
	transaction string
	traceID     string
	rng         *rand.Rand
	span        trace.SpanContext
	refs        []string // tokens from the login on
	steppingUp  bool     // the next exchange is one that the server asked for
}

func newAct(t *tenant, s *scenario, human string, seed, number uint64) *act {
	rng := rand.New(rand.NewPCG(seed, number))
	a := &act{tenant: t, scenario: s.name, human: t.humans[human], subject: human, rng: rng}
	a.span = trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID(a.bytes(16)), SpanID: trace.SpanID(a.bytes(8)), TraceFlags: trace.FlagsSampled})
	a.traceID = a.span.TraceID().String()
	a.transaction = "txn-" + hex.EncodeToString(a.bytes(8))
	a.task = fmt.Sprintf("task-%s-%05d", s.name, number)
	return a
}

// bytes returns n random bytes that are not all zero.
func (a *act) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(a.rng.Uint32())
	}
	b[0] |= 1
	return b
}

// traced puts the act's span into ctx.
func (a *act) traced(ctx context.Context) context.Context {
	return trace.ContextWithSpanContext(ctx, a.span)
}

// begin logs the human in for the task and reports that agent works on it.
func (a *act) begin(ctx context.Context, agent string, scope ...string) (sts.Token, error) {
	assertion, err := a.human.Assertion(a.issuer(), a.transaction, a.task)
	if err != nil {
		return sts.Token{}, err
	}
	began := time.Now()
	token, err := a.logins.Login(a.traced(ctx), assertion, scope)
	if err != nil {
		return sts.Token{}, fmt.Errorf("log in %s: %w", a.subject, err)
	}
	a.got(StepLogin, began, "", "", "", token.Ref(), token.Scope)
	a.refs = []string{token.Ref()}
	return token, a.session(ctx, event.TypeSessionStarted, agent)
}

// end reports that the task is over. Its tokens may live on.
func (a *act) end(ctx context.Context, agent string) error {
	return a.session(ctx, event.TypeSessionEnded, agent)
}

func (a *act) session(ctx context.Context, typ, agent string) error {
	e := &event.Event{
		Kind: event.Session, Type: typ, Time: event.TimeOf(time.Now()), Outcome: event.Success,
		Subject: event.Party{Iss: a.issuer(), Sub: a.subject, Type: event.Human},
		Actor:   event.Party{Iss: a.issuer(), Sub: agent, Type: event.Agent},
		Client:  event.Client{ID: agent, Name: agent, Verified: true},
	}
	e.Correlation = event.Correlation{TraceID: a.traceID, TaskID: a.task, TransactionID: a.transaction}
	if err := a.runtime.Emit(ctx, e); err != nil {
		return fmt.Errorf("report %s of %s: %w", typ, a.task, err)
	}
	return nil
}

// exchange lets agent trade subject for a token at server.
func (a *act) exchange(ctx context.Context, agent string, subject sts.Token, server string, scope ...string) (sts.Token, error) {
	began := time.Now()
	token, err := a.agents[agent].Exchange(a.traced(ctx), subject, a.uri(server), scope)
	if err != nil {
		return sts.Token{}, fmt.Errorf("%s exchanges for %s: %w", agent, server, err)
	}
	a.got(StepExchange, began, agent, server, subject.Ref(), token.Ref(), token.Scope)
	a.refs = append(a.refs, token.Ref())
	return token, nil
}

// call lets agent use a tool and expects it to do its work.
func (a *act) call(ctx context.Context, agent, server, bearer, tool string, arguments map[string]any) (string, error) {
	res, err := a.try(ctx, agent, server, bearer, tool, arguments)
	if err == nil && res.Failed {
		err = errors.New(res.Text)
	}
	if err != nil {
		return res.JSONRPCID, fmt.Errorf("%s uses %s: %w", agent, server, err)
	}
	return res.JSONRPCID, nil
}

// try lets agent use a tool, whatever comes of it.
func (a *act) try(ctx context.Context, agent, server, bearer, tool string, arguments map[string]any) (delegate.Result, error) {
	if err := a.pace(ctx); err != nil {
		return delegate.Result{}, err
	}
	return a.agents[agent].Call(a.traced(ctx), delegate.Call{
		URL: a.urls[server], Bearer: bearer, Tool: tool, Arguments: arguments,
	})
}

// tell records the truth about the act's last call; actors are current first.
func (a *act) tell(kind TruthKind, server, tool, jsonrpcID string, actors ...string) {
	a.ledger.tell(Truth{
		Kind: kind, Scenario: a.scenario, Tenant: a.name, Subject: a.subject, Actors: actors, Server: server, Tool: tool, JSONRPCID: jsonrpcID,
		TokenRefs: append([]string(nil), a.refs...), TraceID: a.traceID, TaskID: a.task,
	})
}

// tellChain records the whole way of a call that servers carried on from agent.
func (a *act) tellChain(kind TruthKind, agent, server, tool, jsonrpcID string) {
	actors := []string{agent}
	for _, hop := range a.ledger.take(a.traceID) {
		if hop.tokenRef != a.refs[len(a.refs)-1] {
			a.refs, actors = append(a.refs, hop.tokenRef), append([]string{hop.from}, actors...)
		}
		server, tool, jsonrpcID = hop.server, hop.tool, hop.jsonrpcID
	}
	a.tell(kind, server, tool, jsonrpcID, actors...)
}
