package dashboards_test

import (
	"fmt"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// view is what a person chose in Grafana: a time range and the variables.
type view struct {
	board     string // the one that it is of only; empty: of all
	from, to  time.Time
	interval  time.Duration
	variables map[string]string
}

// morning is the time of the story, with everything chosen.
func morning(pairs ...string) view {
	v := view{
		from: time.Date(2026, 10, 5, 9, 0, 0, 0, time.UTC), to: time.Date(2026, 10, 5, 12, 5, 0, 0, time.UTC), interval: 30 * time.Minute,
		variables: map[string]string{"tenant": "*", "server": "*", "agent": "*", "start": "", "severity": "*", "review": "*"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.variables[pairs[i]] = pairs[i+1]
	}
	return v
}

// variablePattern is Grafana's own (VARIABLE_REGEX of its scenes library).
var variablePattern = regexp.MustCompile(`\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.[^:^\}]+)?(?::([^\}]+))?\}`)

// interpolate does what the browser does before it sends a query: the value in
// its format; what names no variable stays. Values go in once and are not read
// for variables again.
func (v view) interpolate(t testing.TB, sql string) string {
	t.Helper()
	return variablePattern.ReplaceAllStringFunc(sql, func(match string) string {
		m := variablePattern.FindStringSubmatch(match)
		value, known := v.variables[m[1]+m[2]+m[4]]
		if !known {
			return match
		}
		switch format := m[3] + m[5]; format {
		case "percentencode":
			return percentEncode(value)
		case "sqlstring":
			return "'" + strings.NewReplacer("'", "''", `"`, `\"`).Replace(value) + "'"
		default:
			t.Fatalf("%s: format %q of a variable", match, format)
			return ""
		}
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
func (v view) expand(t testing.TB, sql string) string {
	t.Helper()
	macros := map[string]string{
		"fromTime_ms": fmt.Sprintf("fromUnixTimestamp64Milli(%d)", v.from.UnixMilli()),
		"toTime_ms":   fmt.Sprintf("fromUnixTimestamp64Milli(%d)", v.to.UnixMilli()),
		"fromTime":    fmt.Sprintf("toDateTime(%d)", v.from.Unix()),
		"toTime":      fmt.Sprintf("toDateTime(%d)", v.to.Unix()),
		"interval_s":  fmt.Sprint(max(int(v.interval.Seconds()), 1)),
	}
	var names []string
	for name := range macros {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return len(names[i]) > len(names[j]) })
	for _, name := range names {
		sql = strings.ReplaceAll(sql, "$__"+name, macros[name])
	}
	if i := strings.Index(sql, "$__"); i >= 0 {
		t.Fatalf("macro left: %.40s", sql[i:])
	}
	return sql
}

// The encoding is the standard library's, but for what that leaves out.
func TestPercentEncode(t *testing.T) {
	var all strings.Builder
	for r := rune(1); r < 300; r++ {
		all.WriteRune(r)
	}
	got := percentEncode(all.String())
	if bad := regexp.MustCompile(`[^A-Za-z0-9%_.~-]`).FindString(got); bad != "" {
		t.Errorf("%q is left", bad)
	}
	back, err := url.PathUnescape(got)
	if err != nil || back != all.String() {
		t.Errorf("decoded: %q, %v", back, err)
	}
}
