package pipeline

import (
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"

	"github.com/custody-audit/custody/dashboards/board"
)

func records(b *board.Board) *timeseries.PanelBuilder {
	return b.Counts("Records by state", "records")
}

func sources(b *board.Board) board.Panel {
	seconds := board.Properties(board.Unit(units.Seconds))
	return b.Table("Sources", "sources").
		OverrideByName("silence", seconds).
		OverrideByName("delay", seconds).
		OverrideByName("ahead", board.Alarming(1)).
		OverrideByName("missing", board.Alarming(1)).
		OverrideByName("conflicts", board.Alarming(1))
}

func problems(b *board.Board) board.Panel {
	return b.Table("Malformed and conflicting records", "problems")
}

func partitions(b *board.Board) board.Panel {
	return b.Table("Partitions", "partitions").
		OverrideByName("missing", board.Alarming(1))
}
