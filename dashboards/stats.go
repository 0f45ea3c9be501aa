package dashboards

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// Stats counts what a dashboard has.
type Stats struct {
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Title     string `json:"title"`
	Panels    int    `json:"panels"`
	Queries   int    `json:"queries"` // of panels; those of variables are not counted
	Variables int    `json:"variables"`
	Links     int    `json:"links"` // from columns to other dashboards
	Bytes     int    `json:"bytes"` // of its JSON
}

// Stats counts what the dashboard has.
func (b Built) Stats() Stats {
	s := Stats{Name: b.Name, UID: *b.Dashboard.Uid, Title: *b.Dashboard.Title, Variables: len(b.Dashboard.Templating.List), Bytes: len(b.JSON)}
	for _, p := range b.Dashboard.Panels {
		if p.Panel == nil {
			continue
		}
		s.Panels++
		s.Queries += len(p.Panel.Targets)
		s.Links += linksOf(p.Panel)
	}
	return s
}

func linksOf(p *dashboard.Panel) (n int) {
	for _, o := range p.FieldConfig.Overrides {
		for _, property := range o.Properties {
			if list, ok := property.Value.([]any); ok && property.Id == "links" {
				n += len(list)
			}
		}
	}
	return n
}
