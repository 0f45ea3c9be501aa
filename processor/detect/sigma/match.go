package sigma

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// match is one line of a selection: a field, how to look at it, and for what.
type match struct {
	field     field
	modifiers []string
	values    []*yaml.Node
}

// line translates FIELD|MODIFIER...: VALUE.
func line(b *binder, key string, value *yaml.Node) (string, error) {
	words := strings.Split(key, "|")
	if words[0] == "" {
		return keywords(b, words[1:], value)
	}
	f, err := lookup(b, words[0])
	if err != nil {
		return "", err
	}
	m := &match{f, words[1:], list(value)}
	if len(m.values) == 0 {
		return "", fmt.Errorf("%s: want a value", key)
	}
	all := m.take("all")
	var tests []string
	for _, v := range m.values {
		if v.Kind != yaml.ScalarNode {
			return "", fmt.Errorf("%s: want a value or a list of values", key)
		}
		test, err := m.test(b, v)
		if err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
		tests = append(tests, test)
	}
	return join(tests, all), nil
}

// list is a value as a list.
func list(v *yaml.Node) []*yaml.Node {
	if v.Kind == yaml.AliasNode {
		v = v.Alias
	}
	if v.Kind == yaml.SequenceNode {
		return v.Content
	}
	return []*yaml.Node{v}
}

// join is all of the tests or any of them.
func join(tests []string, all bool) string {
	word := " OR "
	if all {
		word = " AND "
	}
	return "(" + strings.Join(tests, word) + ")"
}

// take removes a modifier and tells whether it was there.
func (m *match) take(word string) bool {
	i := slices.Index(m.modifiers, word)
	if i < 0 {
		return false
	}
	m.modifiers = slices.Delete(m.modifiers, i, i+1)
	return true
}

// test translates one value.
func (m *match) test(b *binder, v *yaml.Node) (string, error) {
	if v.Tag == "!!null" {
		if len(m.modifiers) > 0 {
			return "", fmt.Errorf("null with modifier %s is not supported", m.modifiers[0])
		}
		return m.field.absent()
	}
	if len(m.modifiers) > 0 {
		switch word := m.modifiers[0]; word {
		case "exists":
			return m.exists(v)
		case "re":
			return m.expression(b, v.Value)
		case "cidr":
			return m.network(b, v.Value)
		case "fieldref":
			return m.other(v.Value)
		case "lt", "lte", "gt", "gte", "minute", "hour", "day", "month", "year":
			return m.compare(b, v)
		}
	}
	switch m.field.kind {
	case text, texts:
		return m.text(b, v.Value)
	case number:
		return m.compare(b, v)
	case flag:
		return m.flag(v)
	}
	return "", errors.New("a time can be compared by its parts only: minute, hour, day, month or year")
}

// only refuses modifiers that are not understood beside the first.
func (m *match) only(allowed ...string) error {
	for i, word := range m.modifiers {
		if i > 0 && !slices.Contains(allowed, word) {
			return fmt.Errorf("modifier %s is not supported behind %s", word, m.modifiers[0])
		}
	}
	return nil
}

func (m *match) exists(v *yaml.Node) (string, error) {
	test, err := m.field.absent()
	if err := errors.Join(err, m.only()); err != nil {
		return "", err
	}
	switch v.Value {
	case "true":
		return "NOT (" + test + ")", nil
	case "false":
		return test, nil
	}
	return "", fmt.Errorf("exists: %q: want true or false", v.Value)
}

func (m *match) text(b *binder, value string) (string, error) {
	forms := []pattern{parse(value)}
	var before, behind, cased bool
	for _, word := range m.modifiers {
		var err error
		switch word {
		case "contains":
			before, behind = true, true
		case "startswith":
			behind = true
		case "endswith":
			before = true
		case "cased":
			cased = true
		case "base64":
			forms[0], err = forms[0].encoded()
		case "base64offset":
			forms, err = forms[0].offsets()
		default:
			err = fmt.Errorf("modifier %s is not supported", word)
		}
		if err != nil {
			return "", err
		}
	}
	var tests []string
	for _, p := range forms {
		tests = append(tests, m.field.each(p.around(before, behind).sql(b, cased)))
	}
	return join(tests, false), nil
}

// expression is a regular expression, found anywhere in the text.
func (m *match) expression(b *binder, value string) (string, error) {
	if err := errors.Join(m.texts(), m.only("i", "m", "s")); err != nil {
		return "", err
	}
	if _, err := regexp.Compile(value); err != nil {
		return "", fmt.Errorf("re: %w: want the syntax of RE2, which has neither look-around nor references back", err)
	}
	flags := "(?-s)" // in ClickHouse a dot is a line break too
	if words := m.modifiers[1:]; len(words) > 0 {
		flags = "(?" + strings.Join(words, "") + ")"
		if !slices.Contains(words, "s") {
			flags += "(?-s)"
		}
	}
	v := b.text(flags + value)
	return m.field.each(func(x string) string { return "match(" + x + ", " + v + ")" }), nil
}

func (m *match) texts() error {
	if m.field.kind != text && m.field.kind != texts {
		return fmt.Errorf("modifier %s is of texts", m.modifiers[0])
	}
	return nil
}

// network is whether an address, which may have a port, is in it; what is no
// address is not.
func (m *match) network(b *binder, value string) (string, error) {
	if err := errors.Join(m.texts(), m.only()); err != nil {
		return "", err
	}
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		return "", fmt.Errorf("cidr: %w", err)
	}
	v := b.text(prefix.String())
	return m.field.each(func(x string) string {
		host := "if(" + isAddress(x) + ", toString(" + x + `), extract(toString(` + x + `), '^\\[?([^\\]]+?)\\]?:[0-9]+$'))`
		return "(" + isAddress(host) + " AND isIPAddressInRange(if(" + isAddress(host) + ", " + host + ", '::'), " + v + "))"
	}), nil
}

func isAddress(x string) string { return "(isIPv4String(" + x + ") OR isIPv6String(" + x + "))" }

// other is whether two fields hold the same.
func (m *match) other(name string) (string, error) {
	f, ok := fields[name]
	if !ok || f.kind != text || m.field.kind != text {
		return "", fmt.Errorf("fieldref: %q: want two fields of one text each", name)
	}
	return "lowerUTF8(" + m.field.sql + ") = lowerUTF8(" + f.sql + ")", m.only()
}

// parts of a time, in UTC.
var parts = map[string]string{"minute": "toMinute", "hour": "toHour", "day": "toDayOfMonth", "month": "toMonth", "year": "toYear"}

var operators = map[string]string{"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}

// compare is a comparison of numbers.
func (m *match) compare(b *binder, v *yaml.Node) (string, error) {
	x, operator, words := m.field.sql, "=", m.modifiers
	switch {
	case m.field.kind == moment && len(words) > 0 && parts[words[0]] != "":
		x, words = parts[words[0]]+"("+x+")", words[1:]
	case m.field.kind != number:
		return "", fmt.Errorf("modifier %s is not of this field", words[0])
	}
	if len(words) > 0 && operators[words[0]] != "" {
		operator, words = operators[words[0]], words[1:]
	}
	if len(words) > 0 {
		return "", fmt.Errorf("modifier %s is not supported here", words[0])
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if err != nil {
		return "", fmt.Errorf("%q: want a whole number", v.Value)
	}
	return x + " " + operator + " " + b.as(strconv.FormatInt(n, 10), "Int64"), nil
}

func (m *match) flag(v *yaml.Node) (string, error) {
	if len(m.modifiers) > 0 {
		return "", fmt.Errorf("modifier %s is not supported of a field that is true or false", m.modifiers[0])
	}
	switch v.Value {
	case "true":
		return m.field.sql, nil
	case "false":
		return "NOT " + m.field.sql, nil
	}
	return "", fmt.Errorf("%q: want true or false", v.Value)
}

// keywords are looked for in the whole event as it was reported.
func keywords(b *binder, modifiers []string, value *yaml.Node) (string, error) {
	all := len(modifiers) == 1 && modifiers[0] == "all"
	if len(modifiers) > 0 && !all {
		return "", fmt.Errorf("keywords with modifier %s are not supported", modifiers[0])
	}
	var tests []string
	for _, v := range list(value) {
		if v.Kind != yaml.ScalarNode || v.Value == "" || v.Tag == "!!null" {
			return "", errors.New("keywords: want a list of texts")
		}
		p := parse(v.Value)
		for _, part := range p {
			if strings.ContainsFunc(part.text, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' }) {
				return "", fmt.Errorf("keyword %q: a quote, a backslash or a control character is not found in JSON as it is", v.Value)
			}
		}
		tests = append(tests, p.around(true, true).sql(b, false)("raw"))
	}
	if len(tests) == 0 {
		return "", errors.New("keywords: want a list of texts")
	}
	return join(tests, all), nil
}
