package demo

import (
	"context"

	"github.com/custody-audit/custody/deploy/demo/toolserver"
	"github.com/custody-audit/custody/schemas/event"
)

// passthrough: github-mcp sends its caller's token on to deploy-mcp, which
// accepts it although it is addressed to github-mcp.
func passthrough(ctx context.Context, a *act) error {
	human, err := a.begin(ctx, "planner", "repo:read", "deploy:read")
	if err != nil {
		return err
	}
	token, err := a.exchange(ctx, "planner", human, "github-mcp", "repo:read", "deploy:read")
	if err != nil {
		return err
	}
	id, err := a.call(ctx, "planner", "github-mcp", token.Raw, "mirror_status", map[string]any{"repo": a.repo(), "service": a.service()})
	if err != nil {
		return err
	}
	a.tellChain(Passthrough, "planner", "github-mcp", "mirror_status", id)
	return a.end(ctx, "planner")
}

// widening: the assistant gets a scope that the human never delegated.
func widening(ctx context.Context, a *act) error {
	human, err := a.begin(ctx, "assistant", "repo:read")
	if err != nil {
		return err
	}
	token, err := a.exchange(ctx, "assistant", human, "github-mcp", "repo:read", "repo:admin")
	if err != nil {
		return err
	}
	id, err := a.call(ctx, "assistant", "github-mcp", token.Raw, "export_members", map[string]any{"repo": a.repo()})
	if err != nil {
		return err
	}
	a.tell(ScopeWidening, "github-mcp", "export_members", id, "assistant")
	return a.end(ctx, "assistant")
}

// callAfterDeny: the server asks, is told no, and does it.
func callAfterDeny(ctx context.Context, a *act) error {
	return a.oneCall(ctx, CallAfterDeny, "delete_branch", map[string]any{"repo": a.repo(), "name": "feature/" + a.service()}, "repo:write")
}

// callWithoutDecision: the server does not ask.
func callWithoutDecision(ctx context.Context, a *act) error {
	return a.oneCall(ctx, CallWithoutDecision, "list_webhooks", map[string]any{"repo": a.repo()}, "repo:read")
}

// oneCall is a whole task of the planner with one call at github-mcp.
func (a *act) oneCall(ctx context.Context, kind TruthKind, tool string, arguments map[string]any, scope ...string) error {
	human, err := a.begin(ctx, "planner", scope...)
	if err != nil {
		return err
	}
	token, err := a.exchange(ctx, "planner", human, "github-mcp", scope...)
	if err != nil {
		return err
	}
	id, err := a.call(ctx, "planner", "github-mcp", token.Raw, tool, arguments)
	if err != nil {
		return err
	}
	a.tell(kind, "github-mcp", tool, id, "planner")
	return a.end(ctx, "planner")
}

// afterTheEnd: the task is over, and its token still works.
func afterTheEnd(ctx context.Context, a *act) error {
	human, err := a.begin(ctx, "deployer", "deploy:read")
	if err != nil {
		return err
	}
	token, err := a.exchange(ctx, "deployer", human, "deploy-mcp", "deploy:read")
	if err != nil {
		return err
	}
	status := map[string]any{"service": a.service()}
	if _, err := a.call(ctx, "deployer", "deploy-mcp", token.Raw, "get_status", status); err != nil {
		return err
	}
	if err := a.end(ctx, "deployer"); err != nil {
		return err
	}
	id, err := a.call(ctx, "deployer", "deploy-mcp", token.Raw, "get_status", status)
	if err != nil {
		return err
	}
	a.tell(UseAfterTaskEnd, "deploy-mcp", "get_status", id, "deployer")
	return nil
}

// borrowedToken: the planner shows the human's own token, addressed to the
// authorization server, at a server that does not look.
func borrowedToken(ctx context.Context, a *act) error {
	human, err := a.begin(ctx, "planner", "deploy:read")
	if err != nil {
		return err
	}
	id, err := a.call(ctx, "planner", "deploy-mcp", human.Raw, "get_status", map[string]any{"service": a.service()})
	if err != nil {
		return err
	}
	a.tell(HumanToken, "deploy-mcp", "get_status", id)
	return a.end(ctx, "planner")
}

// staticKey: a job shows an API key that was made once and never ends.
func staticKey(ctx context.Context, a *act) error {
	if err := a.session(ctx, event.TypeSessionStarted, "reviewer"); err != nil {
		return err
	}
	id, err := a.call(ctx, "reviewer", "legacy-mcp", a.apiKey, "export_report", map[string]any{"month": pick(a, "2026-08", "2026-09", "2026-10")})
	if err != nil {
		return err
	}
	a.refs = []string{toolserver.KeyRef(a.hashKey, a.apiKey)}
	a.tell(StaticCredential, "legacy-mcp", "export_report", id)
	return a.end(ctx, "reviewer")
}
