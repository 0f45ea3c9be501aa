package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

// Window bounds the calls of a principal or a tool that a question begins with.
type Window struct {
	From time.Time `query:"from" doc:"Of a principal or a tool: its calls since then (RFC 3339); absent: a day before the end, or 30 days for a blast radius"`
	To   time.Time `query:"to" doc:"Of a principal or a tool: its calls before then; absent: now"`
}

// ChainStart is where a question about chains begins.
type ChainStart struct {
	Tenant
	Window
	Start  string `query:"start" required:"true" minLength:"1" maxLength:"500" doc:"An event id, a token reference (sha256:... or hmac:...), a trace id of 32 hex digits, principal:SUB or principal:SUB@ISSUER, SERVER/TOOL, or jsonrpc:SERVER/ID. Never the token itself: that has POST"`
	Across bool   `query:"across" doc:"Join what several tenants' events say of a token; for callers of all tenants, who name none"`
}

func (c *ChainStart) options() query.ChainOptions {
	return query.ChainOptions{From: c.From, To: c.To, Across: c.Across}
}

type chainOfTokenInput struct {
	Tenant
	Body struct {
		Token string `json:"token" minLength:"1" maxLength:"16384" doc:"The token itself. It is hashed, and neither kept nor logged"`
	}
}

type chainAnswer struct {
	Chains       []*chain.Chain `json:"chains" nullable:"false" doc:"The one with the start first"`
	Events       int            `json:"events" doc:"Number of events that they were built from"`
	OtherTenants []string       `json:"other_tenants,omitempty" doc:"Who knows the token too, and has their chains apart; for callers of all tenants"`
	Cut          []string       `json:"cut,omitempty" doc:"What is left out"`
}

func (s *Server) chains() {
	ask(s, operation{id: "get-chain", method: http.MethodGet, path: "/chain", needs: ReadChains, tag: "chains",
		summary: "The delegation chains from an event, a token reference, a trace, a principal or a tool"},
		func(ctx context.Context, q *question, in *ChainStart) (*chainAnswer, error) {
			return chainFrom(ctx, q, "query.start", in.Start, in.options())
		})
	askText(s, operation{id: "draw-chain", method: http.MethodGet, path: "/chain/drawing", needs: ReadChains, tag: "chains",
		summary: "The same chains as text: a tree, a timeline, or for Graphviz and Mermaid"}, drawChain)
	ask(s, operation{id: "get-chain-of-token", method: http.MethodPost, path: "/chain", needs: ReadChains, tag: "chains",
		summary: "The delegation chains of a token that you hold"},
		func(ctx context.Context, q *question, in *chainOfTokenInput) (*chainAnswer, error) {
			return firstKnown(s.references(q, in.Body.Token), func(ref string) (*chainAnswer, error) {
				return chainFrom(ctx, q, "body.token", ref, query.ChainOptions{})
			})
		})
	ask(s, operation{id: "get-blast", method: http.MethodGet, path: "/blast", needs: ReadChains, tag: "chains",
		summary: "The blast radius: what everything derived from a start touched, and what is still valid and would have to be revoked"},
		func(ctx context.Context, q *question, in *ChainStart) (*query.Blast, error) {
			return blastFrom(ctx, q, "query.start", in.Start, in.options())
		})
	ask(s, operation{id: "get-blast-of-token", method: http.MethodPost, path: "/blast", needs: ReadChains, tag: "chains",
		summary: "The blast radius of a token that you hold"},
		func(ctx context.Context, q *question, in *chainOfTokenInput) (*query.Blast, error) {
			return firstKnown(s.references(q, in.Body.Token), func(ref string) (*query.Blast, error) {
				return blastFrom(ctx, q, "body.token", ref, query.ChainOptions{})
			})
		})
}

// references are those by which events may know a token: which of them they use
// depends on who reported it.
func (s *Server) references(q *question, token string) []string {
	refs := []string{event.TokenRef(token)}
	if s.cfg.SecretRef != nil {
		refs = append(refs, s.cfg.SecretRef(token))
	}
	q.asked["body.token"] = strings.Join(refs, " ")
	return refs
}

// firstKnown asks for references in turn until one is known.
func firstKnown[T any](refs []string, ask func(string) (T, error)) (found T, err error) {
	for _, ref := range refs {
		if found, err = ask(ref); !isNotFound(err) {
			break
		}
	}
	return found, err
}

func isNotFound(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == http.StatusNotFound
}

func chainFrom(ctx context.Context, q *question, field, start string, o query.ChainOptions) (*chainAnswer, error) {
	found, err := findChains(ctx, q, field, start, o)
	if err != nil {
		return nil, err
	}
	return &chainAnswer{list(found.Chains), found.Events, found.OtherTenants, found.Cut}, nil
}

func findChains(ctx context.Context, q *question, field, start string, o query.ChainOptions) (*query.Chains, error) {
	if o.Across && q.tenant != "" {
		return nil, invalid("query.across", "is for callers of all tenants, who name none")
	}
	if err := startable(field, start); err != nil {
		return nil, err
	}
	found, err := q.reader.ChainOf(ctx, start, o)
	if err != nil {
		return nil, unknownStart(err)
	}
	q.rows, q.cut = found.Events, found.Cut
	return found, nil
}

type drawingInput struct {
	ChainStart
	Format string `query:"format" enum:"tree,dot,mermaid,timeline" default:"tree" doc:"tree and timeline are for people, dot for Graphviz, mermaid for Markdown"`
}

// drawChain writes chains for people, and for programs that draw.
func drawChain(ctx context.Context, q *question, in *drawingInput) (*textAnswer, error) {
	found, err := findChains(ctx, q, "query.start", in.Start, in.options())
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	switch in.Format {
	case "dot":
		err = chain.WriteDOT(&text, found.Chains)
	case "mermaid":
		err = chain.WriteMermaid(&text, found.Chains)
	case "timeline":
		err = chain.WriteTimeline(&text, found.Chains)
	default:
		for _, c := range found.Chains {
			err = errors.Join(err, c.WriteTree(&text))
		}
		for _, cut := range found.Cut {
			fmt.Fprintln(&text, "cut:", cut)
		}
	}
	return &textAnswer{"text/plain; charset=utf-8", text.Bytes()}, err
}

func blastFrom(ctx context.Context, q *question, field, start string, o query.ChainOptions) (*query.Blast, error) {
	if o.Across && q.tenant != "" {
		return nil, invalid("query.across", "is for callers of all tenants, who name none")
	}
	if err := startable(field, start); err != nil {
		return nil, err
	}
	found, err := q.reader.BlastRadius(ctx, start, o)
	if err != nil {
		return nil, unknownStart(err)
	}
	q.rows, q.cut = len(found.Tools)+len(found.Live), found.Cut
	return found, nil
}

// startable refuses what no question can begin with. It may be a token that was
// sent by mistake, so it is not repeated.
func startable(field, start string) error {
	if !query.ValidStart(start) {
		return invalid(field, "want "+query.StartForms)
	}
	return nil
}

func unknownStart(err error) error {
	if errors.Is(err, query.ErrNotFound) {
		return newProblem(http.StatusNotFound, "no event that you may see tells of this start")
	}
	return err
}
