package board

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// All is the value of a variable that chooses everything. It is no empty string:
// Grafana would put the list of all options in its place.
const All = "*"

// parameters maps the server parameters that a .sql file may use to what Grafana
// puts in their place.
//
// A variable's value goes percent-encoded, and ClickHouse decodes it: nothing but
// letters, digits and "-_.~%" reaches the SQL text. Grafana's own quoting is not
// safe here: its "sqlstring" doubles quotes and leaves backslashes alone, so that
// \' ends a ClickHouse literal; and a "$__" in a value would be taken for a macro
// by the data source, which expands macros after the browser put values in.
var parameters = map[string]string{
	"from:DateTime64(3)": "$__fromTime_ms",
	"to:DateTime64(3)":   "$__toTime_ms",
	"interval:UInt32":    "$__interval_s",
	"tenant:String":      variable("tenant"),
	"server:String":      variable("server"),
	"agent:String":       variable("agent"),
	"start:String":       variable("start"),
	"severity:String":    variable("severity"),
	"review:String":      variable("review"),
}

func variable(name string) string { return "decodeURLComponent('${" + name + ":percentencode}')" }

var (
	parameterPattern = regexp.MustCompile(`\{(\w+:[\w()]+)\}`)
	// What Grafana takes for a variable or a macro, wherever it stands.
	templatePattern = regexp.MustCompile(`\$\w|\$\{|\[\[\w`)
)

// Expand puts Grafana's macros and variables in the place of server parameters.
// A parameter that is not known is an error, and so is SQL that Grafana would
// read a variable into.
func Expand(sql string) (string, error) {
	var errs []error
	if found := templatePattern.FindString(sql); found != "" {
		errs = append(errs, fmt.Errorf("%q would be a variable or macro of Grafana", found))
	}
	expanded := parameterPattern.ReplaceAllStringFunc(sql, func(p string) string {
		macro, ok := parameters[strings.Trim(p, "{}")]
		if !ok {
			errs = append(errs, fmt.Errorf("unknown parameter %s", p))
		}
		return macro
	})
	return expanded, errors.Join(errs...)
}
