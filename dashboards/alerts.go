package dashboards

import (
	"errors"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/alerting"
	"github.com/grafana/grafana-foundation-sdk/go/cog"

	"github.com/custody-audit/custody/dashboards/alert"
	"github.com/custody-audit/custody/dashboards/board"
)

// BuildAlerts builds the group of the alert rules, for a folder by its UID.
func BuildAlerts(s alert.Sources, folder string) (alerting.RuleGroup, error) {
	none := alerting.RuleGroup{}
	rules, err := alert.Rules()
	if err != nil {
		return none, fmt.Errorf("alert rules: %w", err)
	}
	built, err := Build()
	if err != nil {
		return none, err
	}
	group := alerting.NewRuleGroupBuilder(alert.Group).FolderUid(folder).Interval(alert.Interval)
	var all []cog.Builder[alerting.Rule]
	var errs []error
	for _, r := range rules {
		panel, err := panelOf(built, r.Board, r.Panel)
		if err != nil {
			errs = append(errs, fmt.Errorf("alert rule %s: %w", r.Name, err))
			continue
		}
		rule, err := r.Build(s, folder, panel)
		errs = append(errs, err)
		all = append(all, finished(rule))
	}
	if err := errors.Join(errs...); err != nil {
		return none, err
	}
	return group.Rules(all).Build()
}

// finished is a rule that is built already.
type finished alerting.Rule

func (f finished) Build() (alerting.Rule, error) { return alerting.Rule(f), nil }

// panelOf finds the id of a panel by the name of its dashboard and its title.
func panelOf(built []Built, name, title string) (uint32, error) {
	for _, b := range built {
		for _, p := range b.Dashboard.Panels {
			if b.Name == name && p.Panel != nil && *p.Panel.Title == title {
				return *p.Panel.Id, nil
			}
		}
	}
	return 0, fmt.Errorf("there is no panel %q on %s", title, board.UID(name))
}
