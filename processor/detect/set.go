package detect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
)

// OverridesFile is the name of the file of [Override]s in a folder of rules.
const OverridesFile = "overrides.yaml"

// Override is what an installation changes of a rule.
type Override struct {
	// Severity of its findings instead of the rule's.
	Severity Severity `yaml:"severity"`
	// Disabled rules are not run; what they found stays.
	Disabled bool `yaml:"disabled"`
	// Parameters instead of the defaults, by name.
	Parameters map[string]any `yaml:"parameters"`
}

// Set is the rules of an installation: those of this package, its own, and what
// it changes of both.
type Set struct {
	Rules     []*Rule // with the severities of the installation, by id
	Overrides map[string]Override
	own       map[string]bool
}

// ReadSet reads a folder: a pair NAME.yaml and NAME.sql for each own rule, as those
// under rules, Sigma rules in *.yml, and [OverridesFile]. Without a folder the set is the built-in
// rules as they are. All that is wrong is in the error, with file and field.
func ReadSet(dir string) (*Set, error) {
	rules, err := Builtin()
	if err != nil {
		return nil, err
	}
	s := &Set{Rules: rules, own: map[string]bool{}}
	if dir == "" {
		return s, nil
	}
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("folder of rules: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("folder of rules: %s is no folder", dir)
	}
	own, err := Load(os.DirFS(dir))
	errs := []error{err}
	for _, r := range own {
		if slices.ContainsFunc(rules, func(b *Rule) bool { return b.ID == r.ID }) {
			errs = append(errs, fmt.Errorf("rule file %s: id %q is a built-in rule's: change that one in %s", r.file, r.ID, OverridesFile))
		}
		if s.own[r.ID] {
			errs = append(errs, fmt.Errorf("rule file %s: there is another rule with id %q", r.file, r.ID))
		}
		s.Rules, s.own[r.ID] = append(s.Rules, r), true
	}
	errs = append(errs, s.override(filepath.Join(dir, OverridesFile)))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("folder of rules %s: %w", dir, err)
	}
	slices.SortFunc(s.Rules, func(a, b *Rule) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })
	return s, nil
}

// override reads the file of changes, if there is one.
func (s *Set) override(name string) error {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s.Overrides); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", OverridesFile, err)
	}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(s.Overrides)) {
		if err := s.change(id, s.Overrides[id]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", OverridesFile, err))
		}
	}
	return errors.Join(errs...)
}

// change puts an override into force; parameters are only checked.
func (s *Set) change(id string, o Override) error {
	r := s.Rule(id)
	if r == nil {
		return fmt.Errorf("%s: there is no such rule", id)
	}
	if o.Severity != "" {
		if !slices.Contains(Severities, o.Severity) {
			return fmt.Errorf("%s.severity: %q: want one of %v", id, o.Severity, Severities)
		}
		r.Severity = o.Severity
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(o.Parameters)) {
		if p, ok := r.Parameters[name]; !ok {
			errs = append(errs, fmt.Errorf("%s.parameters.%s: the rule has no such parameter; it has %v", id, name, slices.Sorted(maps.Keys(r.Parameters))))
		} else if err := p.check(o.Parameters[name]); err != nil {
			errs = append(errs, fmt.Errorf("%s.parameters.%s: %w", id, name, err))
		}
	}
	return errors.Join(errs...)
}

// Rule returns the rule of that id, nil when there is none.
func (s *Set) Rule(id string) *Rule {
	if i := slices.IndexFunc(s.Rules, func(r *Rule) bool { return r.ID == id }); i >= 0 {
		return s.Rules[i]
	}
	return nil
}

// Own tells whether the rule is the installation's.
func (s *Set) Own(id string) bool { return s.own[id] }

// Active are the rules that are not disabled.
func (s *Set) Active() []*Rule {
	return slices.DeleteFunc(slices.Clone(s.Rules), func(r *Rule) bool { return s.Overrides[r.ID].Disabled })
}

// Parameters are the overrides as a [Config] takes them for these rules.
func (s *Set) Parameters(rules []*Rule) map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, r := range rules {
		if p := s.Overrides[r.ID].Parameters; len(p) > 0 {
			out[r.ID] = p
		}
	}
	return out
}
