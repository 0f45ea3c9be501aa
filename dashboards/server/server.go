// Package server is the dashboard of one MCP server, or of all: its tools, its
// callers, its errors and the tokens that were not meant for it.
package server

import (
	"embed"

	"github.com/grafana/grafana-foundation-sdk/go/units"

	"github.com/custody-audit/custody/dashboards/board"
)

//go:embed *.sql
var files embed.FS

// New builds the dashboard.
func New() *board.Board {
	b := board.New("server", "Custody: MCP server", "One MCP server: its tools, its callers, its errors and the tokens that were not meant for it.", files)
	b.Choose("tenant", "server", "agent")
	b.Add(glance(b))
	b.Add(calls(b), duration(b))
	b.Row("Use")
	b.Add(tools(b), callers(b))
	b.Row("What is wrong")
	b.Add(errors(b), foreignTokens(b))
	b.Row("The server")
	b.Add(sources(b))
	return b
}

func glance(b *board.Board) board.Panel {
	return b.Figures("At a glance", "glance").
		OverrideByName("p95", board.Properties(board.Unit(units.Milliseconds)))
}

func calls(b *board.Board) board.Panel {
	return b.Counts("Tool calls by outcome", "calls")
}

func duration(b *board.Board) board.Panel {
	return b.Chart("Duration of calls", "duration").Unit(units.Milliseconds)
}

func tools(b *board.Board) board.Panel {
	return b.Table("Tools", "tools").
		OverrideByName("p95", board.Properties(board.Unit(units.Milliseconds))).
		OverrideByName("errors", board.Alarming(1)).
		OverrideByName("denied", board.Alarming(1))
}

func callers(b *board.Board) board.Panel {
	return b.Table("Callers", "callers").
		OverrideByName("actor", board.Properties(board.LinkTo("Delegation of this agent", "delegation", "tenant", "tenant", "agent", "actor"))).
		OverrideByName("static", board.Alarming(1)).
		OverrideByName("unverified", board.Alarming(1))
}

func errors(b *board.Board) board.Panel {
	return b.Table("Errors and refusals", "errors")
}

func foreignTokens(b *board.Board) board.Panel {
	return b.Table("Tokens for another audience", "foreign_tokens").
		OverrideByName("succeeded", board.Alarming(1)).
		OverrideByName("token", board.Properties(board.LinkTo("Delegation of this token", "delegation", "tenant", "tenant", "start", "token")))
}

func sources(b *board.Board) board.Panel {
	return b.Table("Servers and their sources", "sources")
}
