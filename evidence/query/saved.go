package query

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"go.yaml.in/yaml/v3"
)

// Saved is a filter under a name. In a filter text, @NAME stands for it.
type Saved struct {
	Name        string `yaml:"name" json:"name"`
	Filter      string `yaml:"filter" json:"filter"`
	Description string `yaml:"description,omitempty" json:"description,omitempty"`
}

// SavedFile holds saved filters, for all who may read the file. The zero value
// holds none.
type SavedFile struct{ Path string }

// ErrSavedFile says that the file cannot be read, whatever was asked of it.
var ErrSavedFile = errors.New("read saved filters")

// ErrSavedFull is returned by Save when the file holds as many filters as it may.
var ErrSavedFull = fmt.Errorf("there are %d saved filters already: remove some", maxSaved)

var savedName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// maxSaved bounds the file, maxNested how deep names may stand for filters with names.
const (
	maxSaved  = 1000
	maxNested = 5
)

// List returns the saved filters, sorted by name. A file that is not there has none.
func (f SavedFile) List() ([]Saved, error) {
	if f.Path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSavedFile, err)
	}
	var content struct {
		Queries []Saved `yaml:"queries"`
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&content); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSavedFile, f.Path, err)
	}
	slices.SortFunc(content.Queries, func(a, b Saved) int { return strings.Compare(a.Name, b.Name) })
	return content.Queries, nil
}

// Save adds a filter, or replaces that of the same name.
func (f SavedFile) Save(s Saved) error {
	if !savedName.MatchString(s.Name) {
		return fmt.Errorf("name %.80q: want lower-case letters, digits, - and _, at most 63", s.Name)
	}
	return f.change(func(all []Saved) ([]Saved, error) {
		all = append(slices.DeleteFunc(all, func(o Saved) bool { return o.Name == s.Name }), s)
		if len(all) > maxSaved {
			return nil, ErrSavedFull
		}
		text, err := expand(s.Filter, all, 0)
		if err == nil {
			_, err = ParseFilter(text, time.Now())
		}
		return all, err
	})
}

// Remove takes a filter away.
func (f SavedFile) Remove(name string) error {
	return f.change(func(all []Saved) ([]Saved, error) {
		rest := slices.DeleteFunc(slices.Clone(all), func(o Saved) bool { return o.Name == name })
		if len(rest) == len(all) {
			return nil, fmt.Errorf("%w: no saved filter %.80q", ErrNotFound, name)
		}
		return rest, nil
	})
}

// change writes the file anew; others see the old one or the new one.
func (f SavedFile) change(how func([]Saved) ([]Saved, error)) error {
	if f.Path == "" {
		return errors.New("no file of saved filters is configured")
	}
	all, err := f.List()
	if err == nil {
		all, err = how(all)
	}
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b Saved) int { return strings.Compare(a.Name, b.Name) })
	b, err := yaml.Marshal(map[string][]Saved{"queries": all})
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(f.Path, b, 0o600, renameio.WithTempDir(filepath.Dir(f.Path))); err != nil {
		return fmt.Errorf("write saved filters: %w", err)
	}
	return nil
}

// Parse reads a filter text in which @NAME stands for a saved filter.
func (f SavedFile) Parse(text string, now time.Time) (*Filter, error) {
	if strings.Contains(text, "@") {
		all, err := f.List()
		if err != nil {
			return nil, err
		}
		if text, err = expand(text, all, 0); err != nil {
			return nil, err
		}
	}
	return ParseFilter(text, now)
}

// expand puts filters where their names stand, as whole terms outside quotes.
func expand(text string, all []Saved, depth int) (string, error) {
	if depth > maxNested {
		return "", fmt.Errorf("saved filters name each other more than %d deep", maxNested)
	}
	terms, err := split(text)
	if err != nil {
		return "", err
	}
	for i, term := range terms {
		name, ok := strings.CutPrefix(term, "@")
		if !ok {
			terms[i] = quote(term)
			continue
		}
		at := slices.IndexFunc(all, func(s Saved) bool { return s.Name == name })
		if at < 0 {
			return "", fmt.Errorf("filter term %.80q: no saved filter has this name", term)
		}
		if terms[i], err = expand(all[at].Filter, all, depth+1); err != nil {
			return "", err
		}
	}
	return strings.Join(terms, " "), nil
}

// quote keeps a term together that has spaces.
func quote(term string) string {
	if strings.ContainsAny(term, " ") {
		return `"` + term + `"`
	}
	return term
}
