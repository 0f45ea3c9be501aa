package proof

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/custody-audit/custody/processor/seal"
)

// ReadCheckpoints returns the checkpoints that are at a path, none of which is
// verified: a file with one, a copy of the folder of checkpoints, or an earlier
// bundle.
func ReadCheckpoints(path string) ([][]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return folderCheckpoints(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	defer f.Close()
	start, err := io.ReadAll(io.LimitReader(f, seal.MaxNote))
	if err == nil && bytes.HasPrefix(start, []byte("PK\x03\x04")) {
		return bundleCheckpoints(f, info.Size())
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	return [][]byte{start}, nil
}

func folderCheckpoints(dir string) (out [][]byte, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != fileCheckpoint {
			return err
		}
		note, err := os.ReadFile(path)
		out = append(out, note)
		return err
	})
	if err == nil && len(out) == 0 {
		err = errors.New("there is none in " + dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	return out, nil
}

func bundleCheckpoints(f io.ReaderAt, size int64) (out [][]byte, err error) {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return nil, fmt.Errorf("read checkpoints of a bundle: %w", err)
	}
	for _, file := range z.File {
		if i, part := treeFile(file.Name); i < 0 || part != fileCheckpoint {
			continue
		}
		r, err := file.Open()
		if err != nil {
			return nil, fmt.Errorf("read checkpoints of a bundle: %w", err)
		}
		note, err := io.ReadAll(io.LimitReader(r, seal.MaxNote))
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("read checkpoints of a bundle: %w", err)
		}
		out = append(out, note)
	}
	return out, nil
}
