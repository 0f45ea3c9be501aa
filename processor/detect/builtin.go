package detect

import (
	"embed"
	"io/fs"
)

//go:generate go run ./generate

//go:embed rules/*.yaml rules/*.sql
var builtin embed.FS

// Builtin returns the rules of this package.
func Builtin() ([]*Rule, error) {
	files, err := fs.Sub(builtin, "rules")
	if err != nil {
		return nil, err
	}
	return Load(files)
}
