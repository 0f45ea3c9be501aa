// Package exchange is the dashboard of token exchanges: what they add, how long
// their tokens live and how often those are used.
package exchange

import (
	"embed"

	"github.com/grafana/grafana-foundation-sdk/go/units"

	"github.com/custody-audit/custody/dashboards/board"
)

//go:embed *.sql
var files embed.FS

// New builds the dashboard.
func New() *board.Board {
	b := board.New("exchange", "Custody: Token exchange", "What token exchanges grant, for how long, to whom, and how often the tokens are used.", files)
	b.Choose("tenant", "server", "agent")
	b.Annotate("opened_findings")
	b.Add(glance(b))
	b.Add(exchanges(b), lifetimes(b))
	b.Row("What is granted")
	b.Add(widening(b), audiences(b))
	b.Row("What becomes of the tokens")
	b.Add(reuse(b))
	return b
}

func glance(b *board.Board) board.Panel {
	return b.Figures("At a glance", "glance")
}

func exchanges(b *board.Board) board.Panel {
	return b.Counts("Exchanges by outcome", "exchanges")
}

func lifetimes(b *board.Board) board.Panel {
	seconds := board.Properties(board.Unit(units.Seconds))
	return b.Table("Lifetimes", "lifetimes").
		Span(board.Half).
		OverrideByName("p50", seconds).
		OverrideByName("p95", seconds).
		OverrideByName("longest", seconds).
		OverrideByName("outlive", board.Alarming(1))
}

func widening(b *board.Board) board.Panel {
	return b.Table("Exchanges that granted more", "widening").
		OverrideByName("token", board.Properties(toChain))
}

func audiences(b *board.Board) board.Panel {
	return b.Table("Audiences", "audiences").
		OverrideByName("refused", board.Alarming(1))
}

func reuse(b *board.Board) board.Panel {
	return b.Table("Use of issued tokens", "reuse").
		OverrideByName("used_for", board.Properties(board.Unit(units.Seconds))).
		OverrideByName("servers", board.Alarming(2)).
		OverrideByName("token", board.Properties(toChain))
}

var toChain = board.LinkTo("Delegation of this token", "delegation", "tenant", "tenant", "start", "token")
