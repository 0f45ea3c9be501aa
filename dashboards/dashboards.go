// Package dashboards is Custody in Grafana: every dashboard and alert rule as code,
// and what is needed to install them.
//
// Each dashboard is a package of its own with one .sql file for each query, made
// with package board. They read ClickHouse as any client would, and Prometheus
// for the pipeline's own figures; they write nothing. The JSON in folder grafana
// is made of them and committed. It is guaranteed that it is the same bytes for
// the same code; it is not guaranteed that Grafana shows what a test saw, for no
// Grafana runs in the tests: they check the queries on ClickHouse, with macros
// and variables expanded as Grafana does, and the JSON by the SDK's own reader.
package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/custody-audit/custody/dashboards/board"
	"github.com/custody-audit/custody/dashboards/decisions"
	"github.com/custody-audit/custody/dashboards/delegation"
	"github.com/custody-audit/custody/dashboards/evidence"
	"github.com/custody-audit/custody/dashboards/exchange"
	"github.com/custody-audit/custody/dashboards/findings"
	"github.com/custody-audit/custody/dashboards/overview"
	"github.com/custody-audit/custody/dashboards/pipeline"
	"github.com/custody-audit/custody/dashboards/privilege"
	"github.com/custody-audit/custody/dashboards/review"
	"github.com/custody-audit/custody/dashboards/server"
)

//go:generate go run ../cmd/custody dashboards generate grafana --provisioning ../deploy/grafana

// All returns every dashboard, in the order in which one meets them.
func All() []*board.Board {
	return []*board.Board{
		overview.New(),
		findings.New(),
		privilege.New(),
		review.New(),
		delegation.New(),
		decisions.New(),
		exchange.New(),
		server.New(),
		evidence.New(),
		pipeline.New(),
	}
}

// Built is a dashboard and its JSON, which ends in a newline.
type Built struct {
	Name      string
	Dashboard dashboard.Dashboard
	JSON      []byte
}

// Build builds every dashboard.
func Build() ([]Built, error) {
	var out []Built
	for _, b := range All() {
		d, err := b.Build()
		if err != nil {
			return nil, err
		}
		text, err := encode(d)
		if err != nil {
			return nil, fmt.Errorf("encode dashboard %s: %w", b.Name, err)
		}
		out = append(out, Built{b.Name, d, text})
	}
	return out, nil
}

// encode leaves <, > and & as they are: SQL is read by people.
func encode(d dashboard.Dashboard) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(d)
	return buf.Bytes(), err
}
