// Package decisions is the dashboard of what policy engines answered, and of the
// calls that nobody asked them about.
package decisions

import (
	"embed"

	"github.com/grafana/grafana-foundation-sdk/go/units"

	"github.com/custody-audit/custody/dashboards/board"
)

//go:embed *.sql
var files embed.FS

// New builds the dashboard.
func New() *board.Board {
	b := board.New("decisions", "Custody: Decisions", "What policy engines answered, by policy version, and whether tool calls kept to it.", files)
	b.Choose("tenant", "server", "agent")
	b.Annotate("opened_findings", "changed_policies")
	b.Add(glance(b))
	b.Add(effects(b), latency(b))
	b.Row("Policies")
	b.Add(policies(b), denyReasons(b))
	b.Row("Calls that did not keep to a decision")
	b.Add(callsWithoutDecision(b), callsAfterDeny(b))
	return b
}

func glance(b *board.Board) board.Panel {
	return b.Figures("At a glance", "glance").
		OverrideByName("refused", board.Properties(board.Unit(units.PercentUnit)))
}

func effects(b *board.Board) board.Panel {
	return b.Counts("Decisions by effect", "effects")
}

func latency(b *board.Board) board.Panel {
	return b.Chart("Time between decision and call", "latency").Unit(units.Milliseconds)
}

func policies(b *board.Board) board.Panel {
	return b.Table("Policy versions", "policies").
		OverrideByName("refused", board.Properties(board.Unit(units.PercentUnit))).
		OverrideByName("error", board.Alarming(1))
}

func denyReasons(b *board.Board) board.Panel {
	return b.Table("Reasons to deny", "deny_reasons").
		OverrideByName("server", board.Properties(toServer))
}

func callsWithoutDecision(b *board.Board) board.Panel {
	return b.Table("Calls without a decision", "calls_without_decision").
		OverrideByName("server", board.Properties(toServer)).
		OverrideByName("token", board.Properties(toChain))
}

func callsAfterDeny(b *board.Board) board.Panel {
	return b.Table("Calls that ran without being allowed", "calls_after_deny").
		OverrideByName("server", board.Properties(toServer)).
		OverrideByName("token", board.Properties(toChain))
}

var (
	toServer = board.LinkTo("This server", "server", "tenant", "tenant", "server", "server")
	toChain  = board.LinkTo("Delegation of this token", "delegation", "tenant", "tenant", "start", "token")
)
