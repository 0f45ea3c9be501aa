package board

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// View is what a person chose on a dashboard: a time range and values of its
// variables. With it a query can be asked without a Grafana, as Grafana asks it.
type View struct {
	From, To time.Time
	// Interval is the time between two points of a chart; below a second counts as one.
	Interval time.Duration
	// Variables are the values by name. What is missing stays in the text as Grafana
	// leaves it, and is an error of [View.Statement].
	Variables map[string]string
}

// Everything is a view of a time in which every variable chooses all there is, in
// charts of some 24 points.
func Everything(from, to time.Time) View {
	v := View{From: from, To: to, Interval: max(to.Sub(from)/24, time.Second).Truncate(time.Second), Variables: map[string]string{"start": ""}}
	for name := range choices {
		v.Variables[name] = All
	}
	v.Variables["severity"] = All
	return v
}

// Statement is what reaches ClickHouse when Grafana asks q.
func (v View) Statement(q *Query) (string, error) {
	sql := v.expand(v.Interpolate(q.RawSQL))
	if left := templatePattern.FindString(sql); left != "" {
		return "", fmt.Errorf("%s.sql: %s has no value", q.File, left)
	}
	return sql, nil
}

// variablePattern is Grafana's own (VARIABLE_REGEX of its scenes library).
var variablePattern = regexp.MustCompile(`\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.[^:^\}]+)?(?::([^\}]+))?\}`)

// Interpolate does what the browser does before it sends a query: it puts values in,
// percent-encoded; what names no variable, or wants another format, stays. Values
// are not read for variables again.
func (v View) Interpolate(sql string) string {
	return variablePattern.ReplaceAllStringFunc(sql, func(match string) string {
		m := variablePattern.FindStringSubmatch(match)
		value, known := v.Variables[m[1]+m[2]+m[4]]
		if !known || m[3]+m[5] != "percentencode" {
			return match
		}
		return percentEncode(value)
	})
}

// percentEncode is encodeURIComponent with !'()* encoded too. A browser gives up
// on half a surrogate pair, which is the only text that has no UTF-8.
func percentEncode(value string) string {
	var sb strings.Builder
	for _, r := range value {
		if r < utf8.RuneSelf && (strings.ContainsRune("-_.~", r) || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			sb.WriteRune(r)
			continue
		}
		for _, b := range []byte(string(r)) {
			fmt.Fprintf(&sb, "%%%02X", b)
		}
	}
	return sb.String()
}

// expand does what the data source's backend does then (pkg/macros/macros.go of
// grafana-clickhouse-datasource 4.14.1): macros by name, the longest first, so
// that none is taken for the beginning of another.
func (v View) expand(sql string) string {
	return strings.NewReplacer(
		"$__fromTime_ms", fmt.Sprintf("fromUnixTimestamp64Milli(%d)", v.From.UnixMilli()),
		"$__toTime_ms", fmt.Sprintf("fromUnixTimestamp64Milli(%d)", v.To.UnixMilli()),
		"$__fromTime", fmt.Sprintf("toDateTime(%d)", v.From.Unix()),
		"$__toTime", fmt.Sprintf("toDateTime(%d)", v.To.Unix()),
		"$__interval_s", fmt.Sprint(max(int(v.Interval.Seconds()), 1)),
	).Replace(sql)
}
