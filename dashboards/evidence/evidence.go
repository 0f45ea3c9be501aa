// Package evidence is where other dashboards lead: the events that a finding, a
// grant or a decision rests on, and where they lie in the log.
package evidence

import (
	"embed"

	"github.com/custody-audit/custody/dashboards/board"
)

//go:embed *.sql
var files embed.FS

// New builds the dashboard.
func New() *board.Board {
	b := board.New("evidence", "Custody: Evidence", "The events that something rests on, and where they lie in the log.", files)
	b.Choose("tenant")
	b.Text("start", "Start", "The id of an event or the key of a finding, which are found outside the time range too; or a token reference, a trace or a task.")
	b.Add(events(b), finding(b), records(b))
	return b
}

func events(b *board.Board) board.Panel {
	return b.Table("Events", "events").
		OverrideByName("event", board.Properties(board.LinkTo("This event", "evidence", "tenant", "tenant", "start", "event"))).
		OverrideByName("token", board.Properties(board.LinkTo("Delegation of this token", "delegation", "tenant", "tenant", "start", "token"))).
		OverrideByName("trace", board.Properties(board.LinkTo("Delegation of this trace", "delegation", "tenant", "tenant", "start", "trace"))).
		OverrideByName("server", board.Properties(board.LinkTo("This server", "server", "tenant", "tenant", "server", "server")))
}

func finding(b *board.Board) board.Panel {
	return b.Table("Finding", "finding")
}

func records(b *board.Board) board.Panel {
	return b.Table("Records of the log", "records")
}
