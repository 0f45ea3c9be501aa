// Package sigma translates Sigma rules, version 2, to the SQL that the detections
// run: rules about single events, and correlations of them.
//
// It reads files and knows nothing of ClickHouse but its language. What a rule
// says in words or values becomes a query parameter, never text of the query. It
// guarantees that a rule is translated exactly as Sigma means it or refused: a
// construct that the translation does not know is an error that names file, rule
// and construct.
package sigma

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Rule is a translated rule, one that makes findings.
type Rule struct {
	File string
	// Name is the rule's name, or that of a file with one rule only.
	Name string
	// UUID is the rule's id; may be empty.
	UUID           string
	Title          string
	Description    string
	Level          string // one of Levels
	Changed        string // date of the last change, as 2026-11-27; may be empty
	FalsePositives []string
	References     []string
	Tags           []string
	// Single tells that it looks at each event by itself.
	Single bool
	// SQL answers as the engine wants it, with Values as its parameters, each
	// written as ClickHouse parses it.
	SQL    string
	Values map[string]string
}

// Levels of Sigma, in order.
var Levels = []string{"informational", "low", "medium", "high", "critical"}

// Load translates the rules of a folder's *.yml files. All that is wrong with
// them is in the error.
func Load(files fs.FS) ([]*Rule, error) {
	names, err := fs.Glob(files, "*.yml")
	if err != nil {
		return nil, err
	}
	var all collection
	var errs []error
	for _, name := range names { // sorted
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		documents, err := read(name, text)
		all, errs = append(all, documents...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all.translate()
}

// document is a rule as it is written.
type document struct {
	Title          string            `yaml:"title"`
	ID             string            `yaml:"id"`
	Name           string            `yaml:"name"`
	Description    string            `yaml:"description"`
	Level          string            `yaml:"level"`
	Date           string            `yaml:"date"`
	Modified       string            `yaml:"modified"`
	FalsePositives []string          `yaml:"falsepositives"`
	References     []string          `yaml:"references"`
	Tags           []string          `yaml:"tags"`
	Logsource      map[string]string `yaml:"logsource"`
	Detection      yaml.Node         `yaml:"detection"`
	Correlation    *correlation      `yaml:"correlation"`
	Action         string            `yaml:"action"` // of Sigma 1
	Filter         yaml.Node         `yaml:"filter"` // of Sigma filters

	file string
}

// read parses the documents of a file.
func read(file string, text []byte) (out collection, err error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		x := &document{file: file}
		err := d.Decode(x)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("rule file %s: %w", file, err)
		}
		out = append(out, x)
	}
	if len(out) == 1 {
		out[0].Name = cmp.Or(out[0].Name, strings.TrimSuffix(file, path.Ext(file)))
	}
	for _, x := range out {
		err = errors.Join(err, x.wrap(x.validate()))
	}
	return out, err
}

// wrap says where an error is.
func (x *document) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("rule file %s: Sigma rule %q: %w", x.file, cmp.Or(x.Name, x.ID, x.Title), err)
}

func (x *document) validate() error {
	detects, correlates := !x.Detection.IsZero(), x.Correlation != nil
	switch {
	case x.Action != "":
		return fmt.Errorf("action: %q is of Sigma 1: write each rule whole", x.Action)
	case !x.Filter.IsZero():
		return errors.New("filter: Sigma filters are not supported: write the condition into the rule")
	case detects == correlates:
		return errors.New("want either detection or correlation")
	case x.Title == "":
		return errors.New("title is required")
	case x.Name == "" && x.ID == "":
		return errors.New("want a name: the file has several rules")
	case detects:
		return x.source()
	}
	return x.Correlation.validate()
}

// source checks that a rule is about our events.
func (x *document) source() error {
	for key, value := range x.Logsource {
		switch {
		case key == "product" && value != "custody":
			return fmt.Errorf("logsource.product: %q: want custody", value)
		case key != "product" && key != "category" && key != "service" && key != "definition":
			return fmt.Errorf("logsource.%s is not supported: want product, category or service", key)
		}
	}
	if x.Logsource["product"] == "" {
		return errors.New("logsource.product is required: want custody")
	}
	return nil
}

// collection is the rules of a folder, which may name each other.
type collection []*document

// find returns the rule of that name or id.
func (c collection) find(ref string) *document {
	for _, x := range c {
		if ref == x.Name || ref == x.ID {
			return x
		}
	}
	return nil
}

// translate makes of the documents the rules that make findings: a rule that a
// correlation is about does so only when the correlation says it.
func (c collection) translate() ([]*Rule, error) {
	within, errs := map[*document]bool{}, []error{c.unique()}
	for _, x := range c {
		if x.Correlation != nil && !x.Correlation.Generate {
			for _, ref := range x.Correlation.Rules {
				if of := c.find(ref); of != nil && of.Correlation == nil {
					within[of] = true
				}
			}
		}
	}
	var out []*Rule
	for _, x := range c {
		if within[x] {
			continue
		}
		r, err := c.rule(x)
		if err != nil {
			errs = append(errs, x.wrap(err))
			continue
		}
		out = append(out, r)
	}
	return out, errors.Join(errs...)
}

func (c collection) unique() error {
	for i, x := range c {
		for _, y := range c[:i] {
			if x.Name != "" && x.Name == y.Name || x.ID != "" && x.ID == y.ID {
				return x.wrap(fmt.Errorf("rule file %s has a rule of the same name or id", y.file))
			}
		}
	}
	return nil
}

func (c collection) rule(x *document) (*Rule, error) {
	if x.Name == "" {
		return nil, errors.New("name is required of a rule that makes findings")
	}
	level := ""
	for _, l := range Levels {
		if l == x.Level {
			level = l
		}
	}
	if level == "" {
		return nil, fmt.Errorf("level %q: want one of %v", x.Level, Levels)
	}
	b := &binder{values: map[string]string{}}
	sql, err := c.sql(b, x)
	if err != nil {
		return nil, err
	}
	return &Rule{File: x.file, Name: x.Name, UUID: x.ID, Title: x.Title, Description: x.Description, Level: level, Changed: cmp.Or(x.Modified, x.Date),
		FalsePositives: x.FalsePositives, References: x.References, Tags: x.Tags, Single: x.Correlation == nil, SQL: sql, Values: b.values}, nil
}

func (c collection) sql(b *binder, x *document) (string, error) {
	if x.Correlation != nil {
		return c.correlate(b, x)
	}
	where, err := predicate(b, x)
	if err != nil {
		return "", err
	}
	return single(b, x.Title, where), nil
}
