// Package privilege is the dashboard of standing privilege: what is granted and
// not used, who answers for it, and what to remove first.
//
// The range that is shown is the window in which a use counts.
package privilege

import (
	"embed"

	"github.com/grafana/grafana-foundation-sdk/go/units"

	"github.com/custody-audit/custody/dashboards/board"
)

//go:embed *.sql
var files embed.FS

// New builds the dashboard.
func New() *board.Board {
	b := board.New("privilege", "Custody: Standing privilege", "What identities may do and do not, who answers for it, and what to remove first. The time range is the window in which a use counts: 90 days, where nothing else is chosen.", files)
	b.Since("now-90d")
	b.Choose("tenant", "server", "agent")
	b.Add(glance(b))
	b.Add(removeFirst(b))
	b.Row("Whose it is")
	b.Add(identities(b), owners(b), ages(b), staticCredentials(b))
	b.Row("How it comes and goes")
	b.Add(trend(b), passing(b))
	return b
}

func glance(b *board.Board) board.Panel {
	return b.Figures("At a glance", "glance").
		OverrideByName("at_risk", seconds).
		OverrideByName("unused", board.Alarming(1)).
		OverrideByName("wildcards", board.Alarming(1)).
		OverrideByName("ownerless", board.Properties(board.LinkTo("Access review", "review")))
}

func removeFirst(b *board.Board) board.Panel {
	return b.Table("What to remove first", "remove_first").
		OverrideByName("identity", board.Properties(toIdentity, toFindings)).
		OverrideByName("server", board.Properties(toServer)).
		OverrideByName("event", board.Properties(toEvent)).
		OverrideByName("age", seconds).
		OverrideByName("at_risk", seconds)
}

func identities(b *board.Board) board.Panel {
	return b.Table("By identity", "identities").
		OverrideByName("identity", board.Properties(toIdentity, toFindings)).
		OverrideByName("unused", board.Alarming(1)).
		OverrideByName("static", board.Alarming(1)).
		OverrideByName("at_risk", seconds).
		OverrideByName("oldest", seconds)
}

func owners(b *board.Board) board.Panel {
	return b.Table("By owner", "owners").
		Span(board.Half).
		OverrideByName("unused", board.Alarming(1)).
		OverrideByName("static", board.Alarming(1)).
		OverrideByName("at_risk", seconds)
}

func ages(b *board.Board) board.Panel {
	return b.Table("By age", "ages").
		Span(board.Half).
		OverrideByName("unused", board.Alarming(1))
}

func staticCredentials(b *board.Board) board.Panel {
	return b.Table("Static credentials", "static_credentials").
		OverrideByName("identity", board.Properties(toIdentity, toFindings)).
		OverrideByName("server", board.Properties(toServer)).
		OverrideByName("unused", board.Alarming(1))
}

func trend(b *board.Board) board.Panel {
	return b.Chart("Standing privilege over time", "trend").Unit(units.Short)
}

func passing(b *board.Board) board.Panel {
	return b.Table("What came and went", "passing").
		Span(board.Half).
		OverrideByName("identity", board.Properties(toIdentity)).
		OverrideByName("server", board.Properties(toServer)).
		OverrideByName("at_risk", seconds)
}

var (
	seconds    = board.Properties(board.Unit(units.Seconds))
	toIdentity = board.LinkTo("Delegation of this identity", "delegation", "tenant", "tenant", "start", "identity")
	toFindings = board.LinkTo("Findings about this identity", "findings", "tenant", "tenant", "agent", "identity")
	toServer   = board.LinkTo("This server", "server", "tenant", "tenant", "server", "server")
	toEvent    = board.LinkTo("The event that granted it", "evidence", "tenant", "tenant", "start", "event")
)
