package demo_test

import (
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/demo"
	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

// evidence is what was recorded of one truth.
type evidence struct {
	demo.Truth
	all       []*event.Event // of its trace
	call      *event.Event   // the call in question
	decisions []*event.Event // with its id, or on its JSON-RPC id and token
	exchanges []*event.Event
}

func gather(in *intake, x demo.Truth) evidence {
	ev := evidence{Truth: x, all: of(in.events, func(e *event.Event) bool { return e.Correlation.TraceID == x.TraceID })}
	for _, e := range ev.all {
		switch {
		case e.Kind == event.TokenExchange:
			ev.exchanges = append(ev.exchanges, e)
		case e.Server.ID != x.Server || e.Tool.Name != x.Tool || e.Correlation.JSONRPCID != x.JSONRPCID:
		case e.Kind == event.ToolInvocation:
			ev.call = e
		case e.Kind == event.PermissionDecision:
			ev.decisions = append(ev.decisions, e)
		}
	}
	return ev
}

func (ev *evidence) effects() (out []event.Effect) {
	for _, d := range ev.decisions {
		out = append(out, d.Decision.Effect)
	}
	return out
}

// seenAt lists the servers that a token was used at.
func (ev *evidence) seenAt(ref string) (out []string) {
	for _, e := range ev.all {
		if e.Kind == event.ToolInvocation && e.Token.Ref == ref {
			out = append(out, e.Server.ID)
		}
	}
	slices.Sort(out)
	return out
}

func (ev *evidence) ended() event.Time {
	for _, e := range ev.all {
		if e.Type == event.TypeSessionEnded {
			return e.Time
		}
	}
	return 0
}

// visible says for each kind of truth whether the evidence shows it.
var visible = map[demo.TruthKind]func(ev evidence) bool{
	demo.Delegation: func(ev evidence) bool {
		return ev.call.Outcome == event.Success && len(ev.call.Chain) == len(ev.Actors) && ev.call.Token.Audience[0] == ev.call.Server.URI &&
			slices.Equal(ev.effects(), []event.Effect{event.Allow}) && ev.call.Time < ev.ended()
	},
	demo.StepUp: func(ev evidence) bool {
		return len(ev.exchanges) == 2 && !ev.exchanges[0].Exchange.StepUp && ev.exchanges[1].Exchange.StepUp &&
			ev.exchanges[1].Exchange.IssuedTokenRef == ev.call.Token.Ref && ev.call.Outcome == event.Success
	},
	demo.DeniedCall: func(ev evidence) bool {
		return ev.call.Outcome == event.Denied && slices.Equal(ev.effects(), []event.Effect{event.Deny})
	},
	demo.RefusedExchange: func(ev evidence) bool {
		return len(ev.exchanges) == 1 && ev.exchanges[0].Outcome == event.Denied && ev.exchanges[0].Exchange.IssuedTokenRef == ""
	},
	demo.Passthrough: func(ev evidence) bool {
		return slices.Equal(ev.seenAt(ev.call.Token.Ref), []string{"deploy-mcp", "github-mcp"}) && ev.call.Server.ID == "deploy-mcp" &&
			!slices.Contains(ev.call.Token.Audience, ev.call.Server.URI) && len(ev.exchanges) == 1 && ev.call.Outcome == event.Success
	},
	demo.ScopeWidening: func(ev evidence) bool {
		if len(ev.exchanges) != 1 {
			return false
		}
		x := ev.exchanges[0].Exchange
		return !slices.Contains(x.SubjectScope, "repo:admin") && slices.Contains(x.GrantedScope, "repo:admin") && !x.StepUp &&
			ev.call.Token.Ref == x.IssuedTokenRef && ev.call.Outcome == event.Success
	},
	demo.CallAfterDeny: func(ev evidence) bool {
		return slices.Equal(ev.effects(), []event.Effect{event.Deny}) && ev.call.Outcome == event.Success &&
			ev.call.Correlation.DecisionID == ev.decisions[0].Decision.ID
	},
	demo.CallWithoutDecision: func(ev evidence) bool {
		return len(ev.decisions) == 0 && ev.call.Correlation.DecisionID == "" && ev.call.Outcome == event.Success
	},
	demo.StaticCredential: func(ev evidence) bool {
		return ev.call.Token.Static && ev.call.Token.Verified == event.TokenUnverified && ev.call.Token.ExpiresAt == 0 &&
			ev.call.Subject.Sub == "report-job" && len(ev.call.Warnings) == 1 && len(ev.exchanges) == 0
	},
	demo.UseAfterTaskEnd: func(ev evidence) bool {
		return ev.ended() != 0 && ev.call.Time > ev.ended() && ev.call.Token.ExpiresAt > ev.call.Time && ev.call.Outcome == event.Success
	},
	demo.HumanToken: func(ev evidence) bool {
		return ev.call.Subject.Type == event.Human && ev.call.Actor == (event.Party{}) && len(ev.call.Chain) == 0 &&
			!slices.Contains(ev.call.Token.Audience, ev.call.Server.URI) && ev.call.Client.Name == "planner" && ev.call.Outcome == event.Success
	},
	demo.RefusedToken: func(ev evidence) bool {
		return len(ev.seenAt(ev.TokenRefs[1])) > 0 && !slices.ContainsFunc(ev.all, func(e *event.Event) bool {
			return e.Kind == event.ToolInvocation && (e.Outcome != event.Denied || e.Token.Verified != "failed:audience" || e.Server.ID != "vault-mcp" || e.Actor.Sub != "reviewer")
		})
	},
	demo.WithheldExchange: func(ev evidence) bool {
		return len(ev.exchanges) == 2 && len(ev.seenAt(ev.TokenRefs[1])) == 1 && !slices.ContainsFunc(ev.exchanges, func(x *event.Event) bool {
			return x.Exchange.IssuedTokenRef == ev.TokenRefs[1]
		})
	},
}

func TestTruthIsVisible(t *testing.T) {
	in, s := run(t, func(cfg *demo.Config) { cfg.WithholdExchange = true })
	count := map[demo.TruthKind]int{}
	for _, x := range s.Truth {
		count[x.Kind]++
		ev := gather(in, x)
		if x.Tool != "" && ev.call == nil {
			t.Errorf("%s of %s: no event of %s at %s with id %s", x.Kind, x.Tenant, x.Tool, x.Server, x.JSONRPCID)
			continue
		}
		if !visible[x.Kind](ev) {
			t.Errorf("%s of %s in %s is not to be seen: %s", x.Kind, x.Subject, x.Tenant, x.Path())
			for _, e := range ev.all {
				t.Logf("  %s", e.Canonical())
			}
		}
		if len(x.TokenRefs) > 0 && ev.call != nil && ev.call.Token.Ref != x.TokenRefs[len(x.TokenRefs)-1] {
			t.Errorf("%s of %s: the call has another token", x.Kind, x.Subject)
		}
		if x.Kind.Misbehaviour() && x.Tenant == "acme" && x.Kind != demo.WithheldExchange {
			t.Errorf("%s in acme, which is in order", x.Kind)
		}
	}
	want := map[demo.TruthKind]int{
		demo.Delegation: 24, demo.StepUp: 6, demo.DeniedCall: 12, demo.RefusedExchange: 6, demo.RefusedToken: 6, demo.WithheldExchange: 1,
		demo.Passthrough: 3, demo.ScopeWidening: 3, demo.CallAfterDeny: 3, demo.CallWithoutDecision: 3,
		demo.StaticCredential: 3, demo.UseAfterTaskEnd: 3, demo.HumanToken: 3,
	}
	if diff := gocmp.Diff(want, count); diff != "" {
		t.Errorf("truths (-want +got):\n%s", diff)
	}
}

// The tenant that is in order must not look like one that is not.
func TestAcmeIsInOrder(t *testing.T) {
	in, s := run(t, nil)
	for _, x := range s.Truth {
		ev := gather(in, x)
		for kind, shows := range visible {
			if x.Tenant == "acme" && kind.Misbehaviour() && kind != demo.WithheldExchange && ev.call != nil && shows(ev) {
				t.Errorf("%s of %s in acme looks like %s", x.Scenario, x.Subject, kind)
			}
		}
	}
}

// chainOf returns the chain that the product builds around a token.
func chainOf(t *testing.T, in *intake, ref string) *chain.Chain {
	t.Helper()
	for _, c := range chain.Build(in.events) {
		if slices.Contains(c.Tokens(), ref) {
			return c
		}
	}
	t.Fatalf("no chain has token %s", ref)
	return nil
}

func TestThreeHops(t *testing.T) {
	in, s := run(t, nil)
	i := slices.IndexFunc(s.Truth, func(x demo.Truth) bool { return x.TraceID == s.Deepest })
	x := s.Truth[i]
	ev := gather(in, x)
	issuer := "https://sts." + x.Tenant + ".example"
	want := []event.Link{{Iss: issuer, Sub: "deploy-mcp", Type: event.MCP}, {Iss: issuer, Sub: "github-mcp", Type: event.MCP}, {Iss: issuer, Sub: "planner", Type: event.Agent}}
	if diff := gocmp.Diff(want, ev.call.Chain); diff != "" {
		t.Errorf("act of the token at the vault (-want +got):\n%s", diff)
	}
	if ev.call.Server.ID != "vault-mcp" || ev.call.Tool.Name != "read_secret" || ev.call.Subject.Type != event.Human {
		t.Errorf("the deepest call is %s", ev.call.Canonical())
	}
	refs := []string{ev.exchanges[0].Exchange.SubjectTokenRef}
	for _, e := range ev.exchanges {
		refs = append(refs, e.Exchange.IssuedTokenRef)
	}
	if diff := gocmp.Diff(x.TokenRefs, refs); diff != "" || len(refs) != 4 {
		t.Errorf("tokens (-truth +exchanges):\n%s", diff)
	}
	if c := chainOf(t, in, x.TokenRefs[3]); c.Depth != 3 || c.Missing != 0 || c.Root.TokenRef != x.TokenRefs[0] {
		t.Errorf("the product builds depth %d, %d missing, root %s", c.Depth, c.Missing, c.Root.TokenRef)
	}
}

func TestWithheldExchangeLeavesItsGap(t *testing.T) {
	in, s := run(t, func(cfg *demo.Config) { cfg.WithholdExchange = true })
	i := slices.IndexFunc(s.Truth, func(x demo.Truth) bool { return x.Kind == demo.WithheldExchange })
	x := s.Truth[i]
	if c := chainOf(t, in, x.TokenRefs[1]); c.Depth != 3 || c.Missing != 1 {
		t.Errorf("the product builds depth %d, %d missing", c.Depth, c.Missing)
	}
	var gaps, next int64 = 0, 1
	for _, e := range of(in.events, func(e *event.Event) bool { return e.Source.ID == "acme-sts" }) {
		gaps += e.Source.Sequence - next
		next = e.Source.Sequence + 1
	}
	if gaps != 1 {
		t.Errorf("%d numbers are missing, want 1", gaps)
	}
}
