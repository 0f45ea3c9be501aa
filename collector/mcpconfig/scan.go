package mcpconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/custody-audit/custody/collector/redact"
)

// ScanConfig says what is scanned.
type ScanConfig struct {
	// Homes are home folders, of which the files of known clients are read.
	Homes []string
	// Paths are files, which are read whatever their name, and folders, which are
	// searched for files of known clients.
	Paths []string
	// MaxFileBytes is the largest file that is read; 0 is 16 MiB.
	MaxFileBytes int64
	// MaxFiles is how many are read at most; 0 is 1000.
	MaxFiles int
	// MaxDepth is how deep a folder is searched; 0 is 8. Folders of packages and
	// version control are passed over.
	MaxDepth int
	// Find looks for secrets under names that promise none; nil: known forms only.
	Find redact.Finder
}

// maxEntries bounds a search by what it meets, read or not.
const maxEntries = 1_000_000

// Report is what a scan met.
type Report struct {
	// Files that were read, in the order they were met.
	Files []*File
	// Problems are files and folders that could not be read: the rest went on.
	Problems []Problem
	// TooDeep counts folders that were not searched because of MaxDepth.
	TooDeep int
}

// Problem is one file or folder that was not read. The reason shows nothing of its
// contents.
type Problem struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Scan reads files. It follows a symbolic link only where the link was named itself
// or stays within the home or folder that is scanned: who may write there must not
// choose what is read elsewhere.
func Scan(cfg ScanConfig) *Report {
	if cfg.MaxFileBytes == 0 {
		cfg.MaxFileBytes = 16 << 20
	}
	if cfg.MaxFiles == 0 {
		cfg.MaxFiles = 1000
	}
	if cfg.MaxDepth == 0 {
		cfg.MaxDepth = 8
	}
	s := &scan{cfg: cfg, seen: map[string]bool{}}
	for _, home := range cfg.Homes {
		s.home(absolute(home))
	}
	for _, path := range cfg.Paths {
		s.path(absolute(path))
	}
	return &s.Report
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// scan is one under way.
type scan struct {
	Report
	cfg     ScanConfig
	seen    map[string]bool // paths that were read or refused
	entries int
}

func (s *scan) problem(path string, err error) {
	s.Problems = append(s.Problems, Problem{path, reason(err)})
}

// reason is the error without the path, which the problem has.
func reason(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	if err.Error() == "path escapes from parent" { // os has no name for it
		return "is a link that leads out of what is scanned: name the file it leads to"
	}
	return err.Error()
}

// home reads what stands at known places.
func (s *scan) home(folder string) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		s.problem(folder, err)
		return
	}
	defer root.Close()
	for _, p := range known {
		if _, err := root.Lstat(filepath.FromSlash(p.path)); missing(err) {
			continue
		}
		s.file(filepath.Join(folder, filepath.FromSlash(p.path)), p.client, filepath.Base(folder), func() (*os.File, error) {
			return regular(root, filepath.FromSlash(p.path))
		})
	}
}

// missing is an error that says there is no such file, as most clients have none.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || err != nil && strings.HasSuffix(err.Error(), "not a directory")
}

// path reads a file that was named, or searches a folder.
func (s *scan) path(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		s.problem(path, err)
	case info.IsDir():
		s.search(path)
	default:
		client, _ := recognise(filepath.ToSlash(path))
		s.file(path, client, "", func() (*os.File, error) { return opened(os.OpenFile(path, openFlags, 0)) })
	}
}

// search looks for files of known clients in a folder.
func (s *scan) search(folder string) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		s.problem(folder, err)
		return
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		full := filepath.Join(folder, filepath.FromSlash(path))
		if s.entries++; s.entries > maxEntries {
			return fmt.Errorf("holds more than %d files: scan its folders one by one", maxEntries)
		}
		if err != nil {
			s.problem(full, err)
			return nil
		}
		if d.IsDir() {
			return s.enter(path, d)
		}
		client, ok := recognise(filepath.ToSlash(full))
		if !ok {
			return nil
		}
		if len(s.Files) >= s.cfg.MaxFiles {
			return fmt.Errorf("holds more than %d configuration files: raise the limit, or scan its folders one by one", s.cfg.MaxFiles)
		}
		s.file(full, client, "", func() (*os.File, error) { return regular(root, filepath.FromSlash(path)) })
		return nil
	})
	if err != nil {
		s.problem(folder, err)
	}
}

func (s *scan) enter(path string, d fs.DirEntry) error {
	switch {
	case path == ".":
		return nil
	case slices.Contains(skipped, d.Name()):
		return fs.SkipDir
	case strings.Count(path, "/")+1 > s.cfg.MaxDepth:
		s.TooDeep++
		return fs.SkipDir
	}
	return nil
}
