package sigma

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// detection is the selections of a rule, translated, by name.
type detection struct {
	names []string // as they are written
	sql   map[string]string
}

// predicate is the condition of a rule over a row of events.
func predicate(b *binder, x *document) (string, error) {
	d := &detection{sql: map[string]string{}}
	var condition *yaml.Node
	if x.Detection.Kind != yaml.MappingNode {
		return "", errors.New("detection: want selections and a condition")
	}
	err := pairs(&x.Detection, func(key string, value *yaml.Node) (err error) {
		switch key {
		case "condition":
			condition = value
		case "timeframe":
			return errors.New("detection.timeframe is of Sigma 1: write a correlation")
		default:
			d.names = append(d.names, key)
			if d.sql[key], err = selection(b, value); err != nil {
				return fmt.Errorf("detection.%s: %w", key, err)
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if condition == nil {
		return "", errors.New("detection.condition is required")
	}
	var any []string
	for _, c := range list(condition) {
		sql, err := d.condition(c.Value)
		if err != nil {
			return "", fmt.Errorf("detection.condition %q: %w", c.Value, err)
		}
		any = append(any, sql)
	}
	where := join(any, false)
	for key, column := range map[string]string{"category": "kind", "service": "source_type"} {
		if v := x.Logsource[key]; v != "" {
			where = column + " = " + b.text(v) + " AND " + where
		}
	}
	return "(" + where + ")", nil
}

// pairs calls do for each key of a mapping, each of which may be there once.
func pairs(n *yaml.Node, do func(key string, value *yaml.Node) error) error {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if seen[key] {
			return fmt.Errorf("%s is there twice", key)
		}
		seen[key] = true
		if err := do(key, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// selection is all lines of a mapping, any mapping of a list, or keywords.
func selection(b *binder, n *yaml.Node) (string, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		var all []string
		err := pairs(n, func(key string, value *yaml.Node) error {
			sql, err := line(b, key, value)
			all = append(all, sql)
			return err
		})
		return join(all, true), err
	case n.Kind == yaml.ScalarNode:
		return keywords(b, nil, n)
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		var any []string
		for _, one := range n.Content {
			if one.Kind == yaml.SequenceNode {
				return "", errors.New("a list in a list is not supported")
			}
			sql, err := selection(b, one)
			if err != nil {
				return "", err
			}
			any = append(any, sql)
		}
		return join(any, false), nil
	}
	return "", errors.New("want lines, a list of lines, or keywords")
}

// condition translates the text of a condition.
func (d *detection) condition(text string) (string, error) {
	if strings.Contains(text, "|") {
		return "", errors.New("| is an aggregation of Sigma 1: write a correlation")
	}
	spaced := strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text)
	p := &parser{d, strings.Fields(spaced)}
	sql, err := p.either()
	if err == nil && len(p.words) > 0 {
		err = fmt.Errorf("%q is not expected", p.words[0])
	}
	return sql, err
}

// parser reads a condition: or binds weaker than and, and that weaker than not.
type parser struct {
	*detection
	words []string // that are left
}

// next takes the next word if it is this one.
func (p *parser) next(word string) bool {
	if len(p.words) > 0 && strings.EqualFold(p.words[0], word) {
		p.words = p.words[1:]
		return true
	}
	return false
}

func (p *parser) either() (string, error) { return p.chain("or", false, p.both) }
func (p *parser) both() (string, error)   { return p.chain("and", true, p.one) }

func (p *parser) chain(word string, all bool, part func() (string, error)) (string, error) {
	var tests []string
	for {
		sql, err := part()
		if err != nil {
			return "", err
		}
		if tests = append(tests, sql); !p.next(word) {
			return join(tests, all), nil
		}
	}
}

func (p *parser) one() (string, error) {
	if p.next("not") {
		sql, err := p.one()
		return "NOT " + sql, err
	}
	if p.next("(") {
		sql, err := p.either()
		if err == nil && !p.next(")") {
			err = errors.New("a parenthesis is not closed")
		}
		return sql, err
	}
	if len(p.words) == 0 {
		return "", errors.New("it ends too early")
	}
	word := p.words[0]
	p.words = p.words[1:]
	if p.next("of") {
		return p.of(word)
	}
	if sql, ok := p.sql[word]; ok {
		return sql, nil
	}
	return "", fmt.Errorf("there is no selection %q", word)
}

// of is "1 of them", "all of selection*".
func (p *parser) of(quantity string) (string, error) {
	quantity = strings.ToLower(quantity)
	if !slices.Contains([]string{"1", "any", "all"}, quantity) {
		return "", fmt.Errorf("%s of is not supported: want 1 of or all of", quantity)
	}
	if len(p.words) == 0 {
		return "", errors.New("it ends too early")
	}
	which := p.words[0]
	p.words = p.words[1:]
	var tests []string
	for _, name := range p.names {
		matched, err := path.Match(which, name)
		if err != nil {
			return "", fmt.Errorf("%q: %w", which, err)
		}
		if matched || which == "them" && !strings.HasPrefix(name, "_") {
			tests = append(tests, p.sql[name])
		}
	}
	if len(tests) == 0 {
		return "", fmt.Errorf("no selection is %q", which)
	}
	return join(tests, quantity == "all"), nil
}
