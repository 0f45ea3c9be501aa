package registry

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

	"github.com/google/renameio/v2"
	"go.yaml.in/yaml/v3"

	"github.com/custody-audit/custody/collector"
)

// sourceFile is the sources file: YAML (or JSON) with one list.
type sourceFile struct {
	Sources []collector.Source `yaml:"sources"`
}

// ReadSources reads a sources file. An unknown key is an error.
func ReadSources(path string) ([]collector.Source, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, missing(path, err)
	}
	sources, err := parseSources(b)
	if err != nil {
		return nil, fmt.Errorf("read sources %s: %w", path, err)
	}
	return sources, nil
}

func missing(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no sources file %s: \"custody source add\" makes it: %w", path, err)
	}
	return fmt.Errorf("read sources: %w", err)
}

func parseSources(text []byte) ([]collector.Source, error) {
	var file sourceFile
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return file.Sources, nil
}

// AddSource appends a source to a sources file, and makes the file when it is
// missing. What is in it stays as it is, comments too. The file is replaced as a
// whole, so a reader sees it before or after.
func AddSource(path string, s collector.Source) error {
	existing, err := ReadSources(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := newIndex(append(existing, s), nil); err != nil {
		return err
	}
	document, err := readDocument(path)
	if err != nil {
		return err
	}
	list, err := sourceList(document)
	if err != nil {
		return fmt.Errorf("sources %s: %w", path, err)
	}
	var entry yaml.Node
	if err := entry.Encode(s); err != nil {
		return err
	}
	list.Content = append(list.Content, &entry)
	text, err := yaml.Marshal(document)
	if err != nil {
		return err
	}
	return replaceFile(path, text)
}

// EditSource changes keys of one source in a sources file: a nil value takes the
// key out. The rest stays as it is, comments too.
func EditSource(path, tenant, id string, keys map[string]any) error {
	document, err := readDocument(path)
	if err != nil {
		return err
	}
	list, err := sourceList(document)
	if err != nil {
		return fmt.Errorf("sources %s: %w", path, err)
	}
	entry, err := findSource(list, tenant, id)
	if err != nil {
		return fmt.Errorf("sources %s: %w", path, err)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if err := setKey(entry, key, keys[key]); err != nil {
			return err
		}
	}
	text, err := yaml.Marshal(document)
	if err != nil {
		return err
	}
	sources, err := parseSources(text)
	if err == nil {
		_, err = newIndex(sources, nil)
	}
	if err != nil {
		return fmt.Errorf("sources %s: %w", path, err)
	}
	return replaceFile(path, text)
}

// findSource looks by id, and by tenant when one is given.
func findSource(list *yaml.Node, tenant, id string) (found *yaml.Node, err error) {
	for _, entry := range list.Content {
		var s collector.Source
		if err := entry.Decode(&s); err != nil {
			return nil, err
		}
		if s.ID != id || tenant != "" && s.Tenant != tenant {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("several tenants have a source %q: say which with --tenant", id)
		}
		found = entry
	}
	if found == nil {
		return nil, fmt.Errorf("there is no source %q; \"custody source list\" shows all", id)
	}
	return found, nil
}

func setKey(entry *yaml.Node, key string, value any) error {
	at := -1
	for i := 0; i+1 < len(entry.Content); i += 2 {
		if entry.Content[i].Value == key {
			at = i
		}
	}
	if value == nil {
		if at >= 0 {
			entry.Content = slices.Delete(entry.Content, at, at+2)
		}
		return nil
	}
	var v yaml.Node
	if err := v.Encode(value); err != nil {
		return err
	}
	if at >= 0 {
		*entry.Content[at+1] = v
		return nil
	}
	entry.Content = append(entry.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, &v)
	return nil
}

func readDocument(path string) (*yaml.Node, error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read sources: %w", err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		b = []byte("sources: []\n")
	}
	var document yaml.Node
	if err := yaml.Unmarshal(b, &document); err != nil {
		return nil, fmt.Errorf("read sources %s: %w", path, err)
	}
	return &document, nil
}

// sourceList finds the value of the key "sources" and makes it a block list.
func sourceList(document *yaml.Node) (*yaml.Node, error) {
	if len(document.Content) == 1 && document.Content[0].Kind == yaml.MappingNode {
		pairs := document.Content[0].Content
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i].Value != "sources" {
				continue
			}
			list := pairs[i+1]
			if list.Kind != yaml.SequenceNode { // "sources:" with nothing behind it
				*list = yaml.Node{Kind: yaml.SequenceNode}
			}
			if len(list.Content) == 0 {
				list.Style = 0
			}
			return list, nil
		}
	}
	return nil, errors.New(`want a list named "sources"`)
}

func replaceFile(path string, text []byte) error {
	if err := renameio.WriteFile(path, text, 0o600, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("write sources: %w", err)
	}
	return nil
}
