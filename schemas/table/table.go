// Package table defines the ClickHouse side of the pipeline: the migrations,
// and how an event becomes a row.
//
// Migrations are the embedded files NNNN_verb_object.sql, one statement each,
// applied once in order and recorded with their SHA-256. They name no
// database: it is the connection's. They guarantee that a stored schema is one
// that this list produced, or Migrate and Check say which file differs. They
// are roll-forward only, and a crash between a statement and its record makes
// the next run repeat the statement, so each must be repeatable.
package table

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed *.sql
var files embed.FS

// Migration is one schema change.
type Migration struct {
	ID     uint32
	Name   string // file name
	SQL    string
	SHA256 string // hex, of the file
}

// Migrations returns all of them in order.
func Migrations() ([]Migration, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	var out []Migration
	for i, e := range entries { // ReadDir sorts by name
		b, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		number, _, _ := strings.Cut(e.Name(), "_")
		id, err := strconv.ParseUint(number, 10, 32)
		if err != nil || int(id) != i+1 {
			return nil, fmt.Errorf("migration %q: want number %04d", e.Name(), i+1)
		}
		sum := sha256.Sum256(b)
		out = append(out, Migration{uint32(id), e.Name(), string(b), hex.EncodeToString(sum[:])})
	}
	return out, nil
}
