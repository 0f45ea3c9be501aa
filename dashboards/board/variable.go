package board

import (
	"embed"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The queries of the variables are the same on every dashboard.
//
//go:embed variable/*.sql
var variableFiles embed.FS

// choices are what panels can be narrowed to.
var choices = map[string]struct{ label, description string }{
	"tenant": {"Tenant", "Only events of this tenant."},
	"server": {"Server", "Only events at this MCP server."},
	"review": {"Review", "Only this access review, by its id."},
	"agent":  {"Agent", "Only events that this agent did or handed on: as actor, anywhere in the delegation chain, or as subject. Agents of the same name under different issuers are taken together."},
}

// Choose adds variables of which one value is chosen, or all: "tenant", "server",
// "agent", "review", and "severity", whose values are not asked for.
func (b *Board) Choose(names ...string) {
	for _, name := range names {
		if name == "severity" {
			b.severity()
			continue
		}
		c, ok := choices[name]
		if !ok {
			b.fail(fmt.Errorf("no variable %q", name))
			continue
		}
		b.choice(name, c.label, c.description)
	}
}

// choice adds a variable with one value out of a query, or all.
func (b *Board) choice(name, label, description string) {
	q := b.shared(variableFiles, "variable", name)
	all := "All"
	value := "$__all"
	b.builder.WithVariable(dashboard.NewQueryVariableBuilder(name).
		Label(label).
		Description(description).
		Datasource(*q.Datasource).
		Query(dashboard.StringOrMap{String: &q.RawSQL}).
		Definition(name + ".sql").
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(false).
		IncludeAll(true).
		AllValue(All).
		Current(dashboard.VariableOption{Text: dashboard.StringOrArrayOfString{String: &all}, Value: dashboard.StringOrArrayOfString{String: &value}}))
}

// severity adds the variable of findings; the worst is listed first.
func (b *Board) severity() {
	values, all, value := "critical,high,medium,low,info", "All", "$__all"
	b.builder.WithVariable(dashboard.NewCustomVariableBuilder("severity").
		Label("Severity").
		Description("Only findings of this severity.").
		Values(dashboard.StringOrMap{String: &values}).
		Multi(false).
		IncludeAll(true).
		AllValue(All).
		Current(dashboard.VariableOption{Text: dashboard.StringOrArrayOfString{String: &all}, Value: dashboard.StringOrArrayOfString{String: &value}}))
}

// Text adds a variable that is typed in.
func (b *Board) Text(name, label, description string) {
	empty := ""
	b.builder.WithVariable(dashboard.NewTextBoxVariableBuilder(name).
		Label(label).
		Description(description).
		DefaultValue(dashboard.StringOrMap{String: &empty}).
		Current(dashboard.VariableOption{Text: dashboard.StringOrArrayOfString{String: &empty}, Value: dashboard.StringOrArrayOfString{String: &empty}}))
}
