// Package delegation is the dashboard that follows authority from the one who
// had it to what was done with it.
package delegation

import (
	"embed"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/nodegraph"

	"github.com/custody-audit/custody/dashboards/board"
)

//go:embed *.sql
var files embed.FS

// New builds the dashboard.
func New() *board.Board {
	b := board.New("delegation", "Custody: Delegation", "Who acted for whom, with which token: the chains that a token, a trace or a principal belongs to.", files)
	b.Choose("tenant", "server", "agent")
	b.Text("start", "Start", "A token reference (sha256:... or hmac:...), a trace id, or the subject identifier of a principal. Tokens and traces are found outside the time range too. Empty: all tokens of the range.")
	b.Add(graph(b), hops(b))
	b.Row("How far authority spreads")
	b.Add(fanOut(b), depth(b))
	b.Row("What is wrong")
	b.Add(issueNotSeen(b), acrossTenants(b))
	return b
}

func graph(b *board.Board) board.Panel {
	return b.Graph("Chain", "graph_nodes", "graph_edges").
		Nodes(nodegraph.NewNodeOptionsBuilder().Arcs([]cog.Builder[nodegraph.ArcOption]{
			arc("arc__success", "green"), arc("arc__denied", "orange"), arc("arc__error", "red"),
		})).
		OverrideByName("detail__token", board.Properties(toToken("detail__tenant", "detail__token")))
}

func arc(field, color string) cog.Builder[nodegraph.ArcOption] {
	return nodegraph.NewArcOptionBuilder().Field(field).Color(color)
}

func hops(b *board.Board) board.Panel {
	return b.Table("Hops", "hops").
		OverrideByName("token", board.Properties(toToken("tenant", "token"))).
		OverrideByName("parent", board.Properties(toToken("tenant", "parent"))).
		OverrideByName("holder", board.Properties(board.LinkTo("All of this principal", "delegation", "tenant", "tenant", "start", "holder"))).
		OverrideByName("denied", board.Alarming(1))
}

func fanOut(b *board.Board) board.Panel {
	return b.Table("Fan-out", "fan_out").
		Span(16).
		OverrideByName("token", board.Properties(toToken("tenant", "token")))
}

func depth(b *board.Board) board.Panel {
	return b.Table("Depth", "depth").
		Span(8).
		OverrideByName("incomplete", board.Alarming(1))
}

func issueNotSeen(b *board.Board) board.Panel {
	return b.Table("Tokens that nobody was seen to issue", "issue_not_seen").
		OverrideByName("token", board.Properties(toToken("tenant", "token")))
}

func acrossTenants(b *board.Board) board.Panel {
	return b.Table("Tokens in more than one tenant", "across_tenants").
		OverrideByName("token", board.Properties(board.LinkTo("Delegation of this token", "delegation", "start", "token")))
}

// toToken starts again from a token that the row names.
func toToken(tenant, token string) dashboard.DynamicConfigValue {
	return board.LinkTo("Delegation of this token", "delegation", "tenant", tenant, "start", token)
}
