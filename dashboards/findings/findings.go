// Package findings is the dashboard of what the detections found, what is odd, and
// what people did about it.
package findings

import (
	"embed"

	"github.com/grafana/grafana-foundation-sdk/go/units"

	"github.com/custody-audit/custody/dashboards/board"
)

//go:embed *.sql
var files embed.FS

// New builds the dashboard.
func New() *board.Board {
	b := board.New("findings", "Custody: Anomalies and findings", "What was found, what waits and for how long, and what is odd and by how much.", files)
	b.Since("now-7d")
	b.Choose("tenant", "server", "agent", "severity")
	b.Annotate("changed_policies")
	b.Add(glance(b))
	b.Add(waiting(b))
	b.Row("Whom it is about")
	b.Add(byRule(b), byIdentity(b), byChain(b))
	b.Row("What is odd")
	b.Add(anomalies(b))
	b.Row("What becomes of it")
	b.Add(opened(b), trend(b), handling(b), excepted(b))
	return b
}

func glance(b *board.Board) board.Panel {
	return b.Figures("At a glance", "glance").
		OverrideByName("oldest", seconds).
		OverrideByName("critical", board.Alarming(1)).
		OverrideByName("high", board.Alarming(1))
}

func waiting(b *board.Board) board.Panel {
	return b.Table("What waits", "waiting").
		OverrideByName("identity", board.Properties(toIdentity, toPrivilege)).
		OverrideByName("server", board.Properties(toServer)).
		OverrideByName("finding", board.Properties(toEvidence)).
		OverrideByName("age", seconds).
		OverrideByName("idle", seconds)
}

func byRule(b *board.Board) board.Panel {
	return b.Table("By rule", "by_rule").
		OverrideByName("oldest", seconds).
		OverrideByName("newest", seconds)
}

func byIdentity(b *board.Board) board.Panel {
	return b.Table("By identity", "by_identity").
		Span(board.Half).
		OverrideByName("identity", board.Properties(toIdentity, toPrivilege)).
		OverrideByName("critical", board.Alarming(1)).
		OverrideByName("high", board.Alarming(1)).
		OverrideByName("oldest", seconds)
}

func byChain(b *board.Board) board.Panel {
	return b.Table("By delegation", "by_chain").
		Span(board.Half).
		OverrideByName("chain", board.Properties(board.LinkTo("This delegation", "delegation", "tenant", "tenant", "start", "chain"))).
		OverrideByName("oldest", seconds)
}

func anomalies(b *board.Board) board.Panel {
	return b.Table("Anomalies", "anomalies").
		OverrideByName("identity", board.Properties(toIdentity, toPrivilege)).
		OverrideByName("server", board.Properties(toServer)).
		OverrideByName("finding", board.Properties(toEvidence))
}

func opened(b *board.Board) board.Panel {
	return b.Counts("Opened by severity", "opened")
}

func trend(b *board.Board) board.Panel {
	return b.Counts("What happened to findings", "trend")
}

func handling(b *board.Board) board.Panel {
	return b.Table("Time to act, time to end", "handling").
		OverrideByName("waiting", board.Alarming(1)).
		OverrideByName("mean_to_act", seconds).
		OverrideByName("median_to_act", seconds).
		OverrideByName("mean_to_end", seconds).
		OverrideByName("median_to_end", seconds)
}

func excepted(b *board.Board) board.Panel {
	return b.Table("Excepted", "excepted").
		OverrideByName("identity", board.Properties(toIdentity, toPrivilege)).
		OverrideByName("finding", board.Properties(toEvidence)).
		OverrideByName("left", seconds)
}

var (
	seconds     = board.Properties(board.Unit(units.Seconds))
	toIdentity  = board.LinkTo("Delegation of this identity", "delegation", "tenant", "tenant", "start", "identity")
	toPrivilege = board.LinkTo("What this identity may do", "privilege", "tenant", "tenant", "agent", "identity")
	toServer    = board.LinkTo("This server", "server", "tenant", "tenant", "server", "server")
	toEvidence  = board.LinkTo("The evidence", "evidence", "tenant", "tenant", "start", "finding")
)
