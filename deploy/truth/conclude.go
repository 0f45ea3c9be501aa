package truth

import (
	"context"
	"errors"
	"fmt"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

// ConcludedHops asks for the chains of every trace, as a responder would, and
// returns the edges that they show. An edge to a hop that is known from a claim
// only says nothing about tokens.
func ConcludedHops(ctx context.Context, r *query.Reader, traces []Trace) (map[Hop]bool, error) {
	out := map[Hop]bool{}
	for _, t := range traces {
		found, err := r.Chain(ctx, t.ID)
		if errors.Is(err, query.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("chain of %s: %w", t.ID, err)
		}
		for _, c := range found.Chains {
			edges(c.Root, out)
		}
	}
	return out, nil
}

func edges(h *chain.Hop, out map[Hop]bool) {
	for _, below := range h.Children {
		if h.TokenRef != "" && below.TokenRef != "" {
			out[Hop{below.Tenant, h.TokenRef, below.TokenRef, below.Actor.Sub}] = true
		}
		edges(below, out)
	}
}

// ConcludedVerdicts returns what is said of every call that reached a tool.
func ConcludedVerdicts(ctx context.Context, r *query.Reader) (Verdicts, error) {
	out := Verdicts{}
	for after := ""; ; {
		page, err := r.Verdicts(ctx, query.VerdictFilter{}, query.MaxPage, after)
		if err != nil {
			return nil, err
		}
		calls, err := callsOf(ctx, r, page.Verdicts)
		if err != nil {
			return nil, err
		}
		for _, v := range page.Verdicts {
			for _, word := range []string{v.Decision, v.TokenIs, v.Exchange} {
				out.say(calls[v.ID.String()], word)
			}
		}
		if after = page.Next; after == "" {
			return out, nil
		}
	}
}

func callsOf(ctx context.Context, r *query.Reader, verdicts []*query.Verdict) (map[string]Call, error) {
	ids := make([]string, len(verdicts))
	for i, v := range verdicts {
		ids[i] = v.ID.String()
	}
	events, err := r.Events(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Call, len(events))
	for _, e := range events {
		out[e.ID] = callOf(e)
	}
	return out, nil
}

func callOf(e *event.Event) Call {
	return Call{e.Tenant, e.Correlation.TraceID, e.Server.ID, e.Tool.Name, e.Correlation.JSONRPCID}
}
