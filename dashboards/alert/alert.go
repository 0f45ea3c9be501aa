// Package alert is Custody's alert rules for Grafana, as code.
//
// A rule asks ClickHouse by a .sql file of its own, or Prometheus for a service's
// own figures, and fires when a row of the answer is above a threshold. It stands
// beside the packages of the dashboards and is made into JSON by package
// dashboards. It is guaranteed that a rule says what it means, what to do (its
// runbook is a section of docs/operate.md) and how bad it is; whom Grafana tells
// is Grafana's: rules have the label severity to route by.
package alert

import (
	"embed"
	"errors"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/alerting"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/expr"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"

	"github.com/custody-audit/custody/dashboards/board"
)

//go:embed *.sql
var files embed.FS

// Runbooks is where the runbooks are; a rule's is the section of its title there.
const Runbooks = "https://github.com/custody-audit/custody/blob/main/docs/operate.md"

// Group is the name of the rules' group, Interval how often they are asked, in seconds.
const (
	Group    = "custody"
	Interval = 60
)

// Sources are the UIDs of the data sources that the rules ask. A rule names one:
// it has no variable to choose it by.
type Sources struct {
	ClickHouse, Prometheus string
}

// Rule is one alert rule.
type Rule struct {
	// Name is its .sql file and the end of its UID; Title its name in Grafana and
	// the section of its runbook.
	Name, Title string
	// Summary is what whoever is called reads first: $labels and $values are the row's.
	Summary string
	// Severity is critical (somebody gets up), high (today) or medium (this week).
	Severity string
	// Above is what a row's number must exceed, For how long.
	Above float64
	For   string
	// Range is how much time the query looks at, in seconds.
	Range int
	// Expr asks Prometheus; empty: the .sql file asks ClickHouse.
	Expr string
	// Board and Panel, by title, show more.
	Board, Panel string
	// NoData is what no row means: OK where rows are what is wrong, and NoData where
	// there should be some.
	NoData alerting.RuleNoDataState

	// Query is what ClickHouse is asked; nil for Expr.
	Query *board.Query
}

// UID is the rule's in Grafana.
func (r *Rule) UID() string { return board.UID("alert-" + r.Name) }

// Rules returns all rules.
func Rules() ([]*Rule, error) {
	rules := all()
	var errs []error
	for _, r := range rules {
		if r.Expr != "" {
			continue
		}
		var err error
		r.Query, err = board.Read(files, r.Name)
		errs = append(errs, err)
	}
	return rules, errors.Join(errs...)
}

// The identifiers of a rule's queries: what is asked, and whether it is too much.
const (
	asked     = "A"
	condition = "B"
	expressed = "__expr__" // Grafana's own data source of expressions
)

// Build makes the rule for Grafana; panel is the id of the panel that shows more.
func (r *Rule) Build(s Sources, folder string, panel uint32) (alerting.Rule, error) {
	threshold := expr.NewTypeThresholdBuilder().RefId(condition).Expression(asked).
		Datasource(reference(expressed, expressed)).
		Conditions([]cog.Builder[expr.ExprTypeThresholdConditions]{expr.NewExprTypeThresholdConditionsBuilder().
			Evaluator(expr.NewExprTypeThresholdConditionsEvaluatorBuilder().Type(expr.ExprTypeThresholdConditionsEvaluatorTypeGt).Params([]float64{r.Above}))})
	model, uid := r.asks(s)
	return alerting.NewRuleBuilder(r.Title).
		Uid(r.UID()).FolderUID(folder).RuleGroup(Group).OrgID(1).
		WithQuery(query(asked, uid, r.Range, model)).
		WithQuery(query(condition, expressed, r.Range, threshold)).
		Condition(condition).
		For(r.For).
		NoDataState(r.NoData).
		ExecErrState(alerting.RuleExecErrStateError).
		Labels(map[string]string{"severity": r.Severity, "product": board.Tag}).
		Annotations(map[string]string{
			"summary": r.Summary, "runbook_url": Runbooks + "#" + Anchor(r.Title),
			"__dashboardUid__": board.UID(r.Board), "__panelId__": fmt.Sprint(panel),
		}).Build()
}

// asks returns the query and the UID of the data source.
func (r *Rule) asks(s Sources) (cog.Builder[variants.Dataquery], string) {
	if r.Query == nil {
		return prometheus.NewDataqueryBuilder().RefId(asked).Expr(r.Expr).Instant().
			EditorMode(prometheus.QueryEditorModeCode).Datasource(reference(board.Prometheus, s.Prometheus)), s.Prometheus
	}
	q, ds := *r.Query, reference(board.ClickHouse, s.ClickHouse)
	q.RefID, q.Datasource = asked, &ds
	return &q, s.ClickHouse
}

func query(id, source string, seconds int, model cog.Builder[variants.Dataquery]) cog.Builder[alerting.Query] {
	return alerting.NewQueryBuilder(id).DatasourceUid(source).RelativeTimeRange(alerting.Duration(seconds), 0).Model(model)
}

func reference(kind, uid string) common.DataSourceRef {
	return common.DataSourceRef{Type: &kind, Uid: &uid}
}
