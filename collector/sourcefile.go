package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// sourceFile is the sources file: YAML (or JSON) with one list.
type sourceFile struct {
	Sources []Source `yaml:"sources"`
}

// ReadSources reads a sources file. An unknown key is an error.
func ReadSources(path string) ([]Source, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no sources file %s: \"custody source add\" makes it: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read sources: %w", err)
	}
	var file sourceFile
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read sources %s: %w", path, err)
	}
	return file.Sources, nil
}

// LoadRegistry reads a sources file and checks it.
func LoadRegistry(path string) (*Registry, error) {
	sources, err := ReadSources(path)
	if err != nil {
		return nil, err
	}
	r, err := NewRegistry(sources)
	if err != nil {
		return nil, fmt.Errorf("sources %s: %w", path, err)
	}
	return r, nil
}

// AddSource appends a source to a sources file, and makes the file when it is
// missing. What is in it stays as it is, comments too. The file is replaced as a
// whole, so a reader sees it before or after.
func AddSource(path string, s Source) error {
	existing, err := ReadSources(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := NewRegistry(append(existing, s)); err != nil {
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
	f, err := os.CreateTemp(filepath.Dir(path), ".sources-*") // readable by the owner only
	if err != nil {
		return fmt.Errorf("write sources: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write sources: %w", err)
	}
	return nil
}
