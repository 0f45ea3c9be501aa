package query

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/table"
)

// Filter is a parsed filter text: terms that must all hold.
//
//	kind:tool_invocation actor:planner* tool:deploy outcome:denied last:24h
//
// A term is FIELD:VALUE; VALUE may end in * (begins with), hold several values
// separated by commas (any of them), or be quoted. -FIELD:VALUE negates.
// last:DURATION, after:TIME and before:TIME bound the time.
type Filter struct {
	where  []string
	values parameters
	// from and to are the narrowest bounds of the time among the terms; zero is none.
	from, to time.Time
	now      time.Time // that the filter was read at
}

// fields are the names a filter may use for one value, and the columns behind them;
// of [table.ListNames] any element may match.
var fields = named()

func named() map[string]string {
	out := maps.Clone(table.Names)
	out["id"] = "toString(id)"
	for _, column := range []string{"kind", "type", "tenant", "outcome", "upstream"} {
		out[column] = column
	}
	return out
}

// Fields returns the names that a filter may use, sorted.
func Fields() []string {
	names := append(slices.Collect(maps.Keys(fields)), slices.Collect(maps.Keys(table.ListNames))...)
	return slices.Sorted(slices.Values(append(names, "last", "after", "before")))
}

// ParseFilter reads a filter text; now is what "last" counts back from.
func ParseFilter(text string, now time.Time) (*Filter, error) {
	f := &Filter{values: parameters{}, now: now}
	terms, err := split(text)
	if err != nil {
		return nil, err
	}
	for _, term := range terms {
		if err := f.add(term, now); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// split cuts at spaces outside quotes and drops the quotes.
func split(text string) ([]string, error) {
	var terms []string
	var current strings.Builder
	quoted, any := false, false
	flush := func() {
		if any {
			terms = append(terms, current.String())
		}
		current.Reset()
		any = false
	}
	for _, c := range text {
		switch {
		case c == '"':
			quoted, any = !quoted, true
		case c == ' ' && !quoted:
			flush()
		default:
			current.WriteRune(c)
			any = true
		}
	}
	flush()
	if quoted {
		return nil, fmt.Errorf("filter %q: a quote is not closed", text)
	}
	return terms, nil
}

func (f *Filter) add(term string, now time.Time) error {
	name, value, ok := strings.Cut(term, ":")
	if !ok || value == "" {
		return fmt.Errorf("filter term %q: want FIELD:VALUE", term)
	}
	name, negated := strings.CutPrefix(name, "-")
	switch name {
	case "last":
		d, err := ParseDuration(value)
		if err != nil {
			return fmt.Errorf("filter term %q: %w", term, err)
		}
		f.time(">=", now.Add(-d))
		return nil
	case "after", "before":
		t, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return fmt.Errorf("filter term %q: want an RFC 3339 time such as 2026-10-05T09:00:00Z", term)
		}
		f.time(map[string]string{"after": ">=", "before": "<"}[name], t)
		return nil
	}
	condition, err := f.condition(name, value)
	if err != nil {
		return err
	}
	if negated {
		condition = "NOT (" + condition + ")"
	}
	f.where = append(f.where, condition)
	return nil
}

// condition is one of the values, exact or by prefix.
func (f *Filter) condition(name, value string) (string, error) {
	column, array := fields[name], table.ListNames[name]
	if column == "" && array == "" {
		return "", fmt.Errorf("filter field %q is unknown; fields are %s", name, strings.Join(Fields(), ", "))
	}
	var any []string
	for v := range strings.SplitSeq(value, ",") {
		operator := "= "
		if prefix, ok := strings.CutSuffix(v, "*"); ok {
			v, operator = prefix, ""
		}
		p := f.parameter(v)
		test := func(x string) string {
			if operator == "" {
				return "startsWith(" + x + ", " + p + ")"
			}
			return x + " = " + p
		}
		if array != "" {
			any = append(any, "arrayExists(x -> "+test("x")+", "+array+")")
		} else {
			any = append(any, test(column))
		}
	}
	return "(" + strings.Join(any, " OR ") + ")", nil
}

func (f *Filter) time(operator string, t time.Time) {
	switch {
	case operator == "<" && (f.to.IsZero() || t.Before(f.to)):
		f.to = t
	case operator == ">=" && t.After(f.from):
		f.from = t
	}
	f.where = append(f.where, "time "+operator+" fromUnixTimestamp64Micro(toInt64("+f.parameter(strconv.FormatInt(t.UnixMicro(), 10))+"), 'UTC')")
}

// parameter adds a value and returns how SQL names it.
func (f *Filter) parameter(value string) string {
	name := "f" + strconv.Itoa(len(f.values))
	f.values[name] = value
	return "{" + name + ":String}"
}

// ParseDuration knows days and weeks beside Go's units.
func ParseDuration(s string) (time.Duration, error) {
	for unit, size := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			if count, err := strconv.Atoi(n); err == nil && count > 0 {
				return time.Duration(count) * size, nil
			}
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no duration: want for example 30m, 24h, 7d", s)
	}
	return d, nil
}
