// Package overview is the dashboard that one opens first: what happened, who is
// there, and what is not seen.
package overview

import (
	"embed"

	"github.com/grafana/grafana-foundation-sdk/go/units"

	"github.com/custody-audit/custody/dashboards/board"
)

//go:embed *.sql
var files embed.FS

// New builds the dashboard.
func New() *board.Board {
	b := board.New("overview", "Custody: Overview", "What identities of agents did, at a glance, and which sources tell of it.", files)
	b.Choose("tenant", "server", "agent")
	b.Annotate("opened_findings", "changed_policies")
	b.Add(glance(b))
	b.Add(eventsByKind(b), callsByOutcome(b))
	b.Row("Who is there")
	b.Add(agents(b), servers(b))
	b.Row("What is seen")
	b.Add(coverage(b))
	return b
}

func glance(b *board.Board) board.Panel {
	return b.Figures("At a glance", "glance").
		OverrideByName("denied", board.Properties(board.LinkTo("Decisions", "decisions"))).
		OverrideByName("chains", board.Properties(board.LinkTo("Delegation", "delegation"))).
		OverrideByName("exchanges", board.Properties(board.LinkTo("Token exchange", "exchange")))
}

func eventsByKind(b *board.Board) board.Panel {
	return b.Counts("Events by kind", "events_by_kind")
}

func callsByOutcome(b *board.Board) board.Panel {
	return b.Counts("Tool calls by outcome", "calls_by_outcome")
}

func agents(b *board.Board) board.Panel {
	return b.Table("Agents", "agents").
		OverrideByName("agent", board.Properties(board.LinkTo("Delegation of this agent", "delegation", "tenant", "tenant", "agent", "agent"))).
		OverrideByName("denied", board.Alarming(1))
}

func servers(b *board.Board) board.Panel {
	return b.Table("MCP servers", "servers").
		OverrideByName("server", board.Properties(board.LinkTo("This server", "server", "tenant", "tenant", "server", "server"))).
		OverrideByName("errors", board.Alarming(1)).
		OverrideByName("denied", board.Alarming(1))
}

func coverage(b *board.Board) board.Panel {
	return b.Table("Coverage", "coverage").
		OverrideByName("silence", board.Properties(board.Unit(units.Seconds))).
		OverrideByName("missing", board.Alarming(1))
}
