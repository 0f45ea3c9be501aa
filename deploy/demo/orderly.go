package demo

import (
	"context"
	"errors"

	"github.com/custody-audit/custody/deploy/demo/sts"
)

// Arguments are drawn, so that no two tasks look the same.
func (a *act) repo() string    { return a.name + "/" + pick(a, "shop", "billing", "search", "docs") }
func (a *act) service() string { return pick(a, "shop", "billing", "search") }
func (a *act) issue() int      { return 100 + a.rng.IntN(800) }

func pick(a *act, from ...string) string { return from[a.rng.IntN(len(from))] }

// release: the planner merges, github-mcp deploys, deploy-mcp reads a secret.
func release(ctx context.Context, a *act) error {
	alice, err := a.begin(ctx, "planner", "repo:read", "repo:write", "deploy:run", "secret:read")
	if err != nil {
		return err
	}
	token, err := a.exchange(ctx, "planner", alice, "github-mcp", "repo:write", "deploy:run", "secret:read")
	if err != nil {
		return err
	}
	id, err := a.call(ctx, "planner", "github-mcp", token.Raw, "merge_pull_request", map[string]any{"repo": a.repo(), "number": a.issue(), "service": a.service()})
	if err != nil {
		return err
	}
	a.tellChain(Delegation, "planner", "github-mcp", "merge_pull_request", id)
	return a.end(ctx, "planner")
}

// rollout: the deployer goes to deploy-mcp itself, which reads a secret.
func rollout(ctx context.Context, a *act) error {
	human, err := a.begin(ctx, "deployer", "deploy:read", "deploy:run", "secret:read")
	if err != nil {
		return err
	}
	token, err := a.exchange(ctx, "deployer", human, "deploy-mcp", "deploy:read", "deploy:run", "secret:read")
	if err != nil {
		return err
	}
	service := a.service()
	if _, err := a.call(ctx, "deployer", "deploy-mcp", token.Raw, "get_status", map[string]any{"service": service}); err != nil {
		return err
	}
	id, err := a.call(ctx, "deployer", "deploy-mcp", token.Raw, "deploy_service", map[string]any{"service": service})
	if err != nil {
		return err
	}
	a.tellChain(Delegation, "deployer", "deploy-mcp", "deploy_service", id)
	return a.end(ctx, "deployer")
}

// review: one exchange stands for three calls.
func review(ctx context.Context, a *act) error {
	human, err := a.begin(ctx, "reviewer", "repo:read")
	if err != nil {
		return err
	}
	token, err := a.exchange(ctx, "reviewer", human, "github-mcp", "repo:read")
	if err != nil {
		return err
	}
	repo, id := a.repo(), ""
	for _, use := range []struct {
		tool      string
		arguments map[string]any
	}{
		{"search_issues", map[string]any{"repo": repo, "query": "label:release"}},
		{"get_issue", map[string]any{"repo": repo, "number": a.issue()}},
		{"get_pull_request_diff", map[string]any{"repo": repo, "number": a.issue()}},
	} {
		if id, err = a.call(ctx, "reviewer", "github-mcp", token.Raw, use.tool, use.arguments); err != nil {
			return err
		}
	}
	a.tell(Delegation, "github-mcp", "get_pull_request_diff", id, "reviewer")
	return a.end(ctx, "reviewer")
}

// stepUp: the scope does not suffice, and a second exchange asks for the union.
func stepUp(ctx context.Context, a *act) error {
	human, err := a.begin(ctx, "planner", "repo:read", "repo:write")
	if err != nil {
		return err
	}
	branch := map[string]any{"repo": a.repo(), "name": "fix/" + a.service()}
	var token sts.Token
	for _, scope := range [][]string{{"repo:read"}, {"repo:read", "repo:write"}} {
		if token, err = a.exchange(ctx, "planner", human, "github-mcp", scope...); err != nil {
			return err
		}
		if len(scope) == 1 {
			if err := a.denied(ctx, "planner", "github-mcp", token, "create_branch", branch); err != nil {
				return err
			}
			a.steppingUp = true
		}
	}
	id, err := a.call(ctx, "planner", "github-mcp", token.Raw, "create_branch", branch)
	if err != nil {
		return err
	}
	a.tell(StepUp, "github-mcp", "create_branch", id, "planner")
	return a.end(ctx, "planner")
}

// cleanup: policy keeps an agent from deleting a repository.
func cleanup(ctx context.Context, a *act) error {
	human, err := a.begin(ctx, "planner", "repo:write")
	if err != nil {
		return err
	}
	token, err := a.exchange(ctx, "planner", human, "github-mcp", "repo:write")
	if err != nil {
		return err
	}
	if err := a.denied(ctx, "planner", "github-mcp", token, "delete_repository", map[string]any{"repo": a.repo()}); err != nil {
		return err
	}
	return a.end(ctx, "planner")
}

// rotation: one hop, no further.
func rotation(ctx context.Context, a *act) error {
	human, err := a.begin(ctx, "deployer", "secret:rotate")
	if err != nil {
		return err
	}
	token, err := a.exchange(ctx, "deployer", human, "vault-mcp", "secret:rotate")
	if err != nil {
		return err
	}
	id, err := a.call(ctx, "deployer", "vault-mcp", token.Raw, "rotate_secret", map[string]any{"path": "kv/" + a.service()})
	if err != nil {
		return err
	}
	a.tell(Delegation, "vault-mcp", "rotate_secret", id, "deployer")
	return a.end(ctx, "deployer")
}

// overreach: the authorization server refuses an audience.
func overreach(ctx context.Context, a *act) error {
	human, err := a.begin(ctx, "reviewer", "repo:read", "secret:read")
	if err != nil {
		return err
	}
	_, err = a.exchange(ctx, "reviewer", human, "vault-mcp", "secret:read")
	var refusal *sts.Refusal
	if !errors.As(err, &refusal) {
		return errors.Join(errors.New("the exchange for vault-mcp was not refused"), err)
	}
	a.tell(RefusedExchange, "", "", "", "reviewer")
	return a.end(ctx, "reviewer")
}

// misdelivery: a token shown at another server than it was issued for is turned away.
func misdelivery(ctx context.Context, a *act) error {
	human, err := a.begin(ctx, "reviewer", "repo:read")
	if err != nil {
		return err
	}
	token, err := a.exchange(ctx, "reviewer", human, "github-mcp", "repo:read")
	if err != nil {
		return err
	}
	if _, err := a.try(ctx, "reviewer", "vault-mcp", token.Raw, "read_secret", map[string]any{"path": "kv/" + a.service()}); err == nil {
		return errors.New("vault-mcp took a token of github-mcp")
	}
	a.tell(RefusedToken, "vault-mcp", "", "", "reviewer")
	return a.end(ctx, "reviewer")
}

// denied expects policy to refuse the call.
func (a *act) denied(ctx context.Context, agent, server string, token sts.Token, tool string, arguments map[string]any) error {
	res, err := a.try(ctx, agent, server, token.Raw, tool, arguments)
	if err == nil && !res.Failed {
		return errors.New(tool + " was not refused")
	}
	if res.JSONRPCID == "" {
		return err
	}
	a.tell(DeniedCall, server, tool, res.JSONRPCID, agent)
	return nil
}
