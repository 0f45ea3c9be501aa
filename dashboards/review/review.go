// Package review is the dashboard of access reviews: how far each owner is, what
// nobody decided about, and what was revoked and is still there.
package review

import (
	"embed"

	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"

	"github.com/custody-audit/custody/dashboards/board"
)

//go:embed *.sql
var files embed.FS

// New builds the dashboard.
func New() *board.Board {
	b := board.New("review", "Custody: Access review", "How far access reviews are, by owner; what nobody decided about, for whom nobody answers, and what was revoked and is still there.", files)
	b.Since("now-90d")
	b.Choose("tenant", "review")
	b.Add(glance(b))
	b.Add(progress(b))
	b.Row("What leads")
	b.Add(missingOwners(b), campaigns(b))
	b.Row("What is to be done")
	b.Add(undecided(b), stillThere(b))
	b.Row("What was done")
	b.Add(decisions(b).Span(board.Full).Height(6), decided(b))
	return b
}

func glance(b *board.Board) board.Panel {
	return b.Figures("At a glance", "glance").
		OverrideByName("decided", percent).
		OverrideByName("ownerless", board.Alarming(1)).
		OverrideByName("missed", board.Alarming(1))
}

func progress(b *board.Board) board.Panel {
	return b.Table("Progress by owner", "progress").
		OverrideByName("name", board.Properties(toReview)).
		OverrideByName("decided", percent)
}

func missingOwners(b *board.Board) board.Panel {
	return b.Table("Nobody answers for", "missing_owners").
		Span(board.Half).
		OverrideByName("name", board.Properties(toReview)).
		OverrideByName("ownerless", board.Properties(board.LinkTo("What it may do", "privilege", "tenant", "tenant", "agent", "ownerless")))
}

func campaigns(b *board.Board) board.Panel {
	return b.Table("Reviews", "campaigns").
		Span(board.Half).
		OverrideByName("name", board.Properties(toReview)).
		OverrideByName("decided", percent).
		OverrideByName("open_for", seconds).
		OverrideByName("ownerless", board.Alarming(1))
}

func undecided(b *board.Board) board.Panel {
	return b.Table("Undecided", "undecided").
		OverrideByName("identity", board.Properties(toPrivilege)).
		OverrideByName("waits", seconds)
}

func stillThere(b *board.Board) board.Panel {
	return b.Table("Revoked and still there", "still_there").
		OverrideByName("identity", board.Properties(toPrivilege)).
		OverrideByName("since", seconds)
}

func decisions(b *board.Board) *timeseries.PanelBuilder {
	return b.Counts("Decisions", "decisions")
}

func decided(b *board.Board) board.Panel {
	return b.Table("Decided", "decided").
		OverrideByName("identity", board.Properties(toPrivilege)).
		OverrideByName("event", board.Properties(board.LinkTo("The event that is the evidence", "evidence", "tenant", "tenant", "start", "event")))
}

var (
	seconds     = board.Properties(board.Unit(units.Seconds))
	percent     = board.Properties(board.Unit(units.PercentUnit))
	toReview    = board.LinkTo("This review", "review", "tenant", "tenant", "review", "review")
	toPrivilege = board.LinkTo("What this identity may do", "privilege", "tenant", "tenant", "agent", "identity")
)
