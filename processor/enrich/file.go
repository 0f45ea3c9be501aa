package enrich

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile bounds a registry file, in bytes.
const maxFile = 64 << 20

// text is what a file holds.
type text struct {
	name  string
	bytes []byte
}

// readTexts reads a file, or the .yaml, .yml and .json files of a folder.
func readTexts(path string) ([]text, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	names := []string{path}
	if info.IsDir() {
		if names, err = registryFiles(path); err != nil {
			return nil, err
		}
	}
	var out []text
	for _, name := range names {
		b, err := readBounded(name)
		if err != nil {
			return nil, fmt.Errorf("read registry: %w", err)
		}
		out = append(out, text{name, b})
	}
	return out, nil
}

func registryFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("read registry: folder %s has no .yaml, .yml or .json file", dir)
	}
	return names, nil
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return b, err
}

// Read reads the registries, by tenant, from a file or the files of a folder. What one tenant
// has in several files is put together. The error is [Problems] when the
// contents are at fault, and names all that is.
func Read(path string) (map[string]*Registry, error) {
	texts, err := readTexts(path)
	if err != nil {
		return nil, err
	}
	return parse(texts)
}

func parse(texts []text) (map[string]*Registry, error) {
	c := collection{registries: map[string]*Registry{}, names: map[string]place{}}
	for _, t := range texts {
		c.document(t)
	}
	c.checkServers()
	return c.registries, c.problems.err()
}
