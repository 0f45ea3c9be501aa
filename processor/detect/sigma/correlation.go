package sigma

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// correlation is how Sigma writes that events belong together.
type correlation struct {
	Type      string                       `yaml:"type"`
	Rules     labels                       `yaml:"rules"`
	GroupBy   labels                       `yaml:"group-by"`
	Timespan  string                       `yaml:"timespan"`
	Condition yaml.Node                    `yaml:"condition"`
	Aliases   map[string]map[string]string `yaml:"aliases"`
	Generate  bool                         `yaml:"generate"`
	Rest      map[string]any               `yaml:",inline"`
}

// labels is one name or a list of them.
type labels []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (n *labels) UnmarshalYAML(v *yaml.Node) error {
	if v.Kind == yaml.ScalarNode {
		*n = labels{v.Value}
		return nil
	}
	return v.Decode((*[]string)(n))
}

// Kinds of correlations.
const (
	eventCount = "event_count"
	valueCount = "value_count"
	temporal   = "temporal"
	ordered    = "temporal_ordered"
)

// maxSpan bounds how far around an event its correlation looks.
const maxSpan = 7 * 24 * time.Hour

func (c *correlation) validate() error {
	for key := range c.Rest {
		return fmt.Errorf("correlation.%s is not supported", key)
	}
	if !slices.Contains([]string{eventCount, valueCount, temporal, ordered}, c.Type) {
		return fmt.Errorf("correlation.type %q is not supported: want %s, %s, %s or %s", c.Type, eventCount, valueCount, temporal, ordered)
	}
	if len(c.Rules) == 0 || len(c.Rules) > 16 {
		return errors.New("correlation.rules: want one to 16")
	}
	if c.within() && len(c.Rules) < 2 {
		return fmt.Errorf("correlation.rules: %s wants two or more", c.Type)
	}
	_, err := c.span()
	return err
}

// within tells whether it is about rules that all match in the time.
func (c *correlation) within() bool { return c.Type == temporal || c.Type == ordered }

// span is the time that the events lie in.
func (c *correlation) span() (time.Duration, error) {
	units := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	for unit, size := range units {
		if n, ok := strings.CutSuffix(c.Timespan, unit); ok {
			if count, err := strconv.Atoi(n); err == nil && count > 0 && count <= int(maxSpan/size) {
				return time.Duration(count) * size, nil
			}
		}
	}
	return 0, fmt.Errorf("correlation.timespan %q: want a number and s, m, h or d, at most 7d", c.Timespan)
}

// least is how many events or values it takes, and the field of the values.
func (c *correlation) least() (n int, field string, err error) {
	if c.within() {
		if !c.Condition.IsZero() {
			return 0, "", fmt.Errorf("correlation.condition of %s is not supported: all rules have to match", c.Type)
		}
		return 0, "", nil
	}
	err = pairs(&c.Condition, func(key string, v *yaml.Node) (err error) {
		switch key {
		case "gte", "gt":
			if n != 0 {
				return errors.New("correlation.condition: want one of gte and gt")
			}
			n, err = strconv.Atoi(v.Value)
			if err != nil || n < 0 {
				return fmt.Errorf("correlation.condition.%s %q: want a number", key, v.Value)
			}
			if key == "gt" {
				n++
			}
		case "field":
			field = v.Value
		default:
			return fmt.Errorf("correlation.condition.%s is not supported: want gte or gt", key)
		}
		return nil
	})
	switch {
	case err != nil:
		return 0, "", err
	case n < 1 || n > 100_000:
		return 0, "", errors.New("correlation.condition: want gte, 1 to 100000")
	case (c.Type == valueCount) != (field != ""):
		return 0, "", fmt.Errorf("correlation.condition.field: %s has one, no other type does", valueCount)
	}
	return n, field, nil
}

// base is a rule that a correlation is about.
type base struct {
	where string   // that it matches
	key   []string // what it is grouped by
	value string   // what is counted of it
}

// correlate translates a correlation.
func (c collection) correlate(b *binder, x *document) (string, error) {
	count, counted, err := x.Correlation.least()
	if err != nil {
		return "", err
	}
	var rules []base
	for _, ref := range x.Correlation.Rules {
		of := c.find(ref)
		if of == nil {
			return "", fmt.Errorf("correlation.rules: there is no rule %q in the folder's .yml files", ref)
		}
		if of.Correlation != nil {
			return "", fmt.Errorf("correlation.rules: %q is a correlation itself, which is not supported", ref)
		}
		r, err := x.Correlation.base(b, of, counted)
		if err != nil {
			return "", err
		}
		rules = append(rules, *r)
	}
	if err := x.Correlation.aliased(); err != nil {
		return "", err
	}
	span, err := x.Correlation.span()
	if err != nil {
		return "", err
	}
	s := &sequence{b: b, title: x.Title, rules: rules, span: span, count: count}
	return s.sql(x.Correlation.Type), nil
}

// aliased checks that aliases are of rules that it is about, and are used.
func (c *correlation) aliased() error {
	for alias, of := range c.Aliases {
		if !slices.Contains(c.GroupBy, alias) {
			return fmt.Errorf("correlation.aliases.%s is not in group-by", alias)
		}
		for ref := range of {
			if !slices.Contains(c.Rules, ref) {
				return fmt.Errorf("correlation.aliases.%s.%s: the correlation has no such rule", alias, ref)
			}
		}
	}
	return nil
}

// base translates a rule that the correlation is about. An event without a field
// that it is grouped by belongs to no group.
func (c *correlation) base(b *binder, of *document, counted string) (*base, error) {
	where, err := predicate(b, of)
	if err != nil {
		return nil, of.wrap(err)
	}
	r := &base{where: where, value: "''"}
	for _, name := range c.GroupBy {
		if alias, ok := c.Aliases[name]; ok {
			for _, ref := range []string{of.Name, of.ID} {
				if to, ok := alias[ref]; ok && ref != "" {
					name = to
				}
			}
		}
		f, err := one(b, name)
		if err != nil {
			return nil, fmt.Errorf("correlation.group-by: %w", err)
		}
		r.key = append(r.key, "toString("+f.sql+")")
		r.where += " AND " + f.sql + " != ''"
	}
	if counted != "" {
		f, err := one(b, counted)
		if err != nil {
			return nil, fmt.Errorf("correlation.condition.field: %w", err)
		}
		r.value = "toString(" + f.sql + ")"
	}
	return r, nil
}

// one is a field that holds one text.
func one(b *binder, name string) (field, error) {
	f, err := lookup(b, name)
	if err == nil && f.kind != text {
		err = fmt.Errorf("%s is not a field of one text", name)
	}
	return f, err
}
