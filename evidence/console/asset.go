package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:generate make -C ../.. console-assets

//go:embed assets
var assetFiles embed.FS

// assetPrefix is below which they are served.
const assetPrefix = "/assets/"

// assets are the files that pages need. Their addresses have a hash of what is in
// them, so that browsers keep them for ever and never have an old one.
type assets struct {
	byName map[string]string // path by name in assets/
	byPath map[string][]byte
}

func newAssets() (*assets, error) {
	a := &assets{map[string]string{}, map[string][]byte{}}
	err := fs.WalkDir(assetFiles, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := assetFiles.ReadFile(name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "assets/")
		sum := sha256.Sum256(b)
		ext := path.Ext(name)
		at := assetPrefix + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:8]) + ext
		a.byName[name], a.byPath[at] = at, b
		return nil
	})
	return a, err
}

// paths are where files are served.
func (a *assets) paths(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		if out[i] = a.byName[name]; out[i] == "" {
			panic(fmt.Sprintf("console: there is no asset %q", name)) // a mistake in a page
		}
	}
	return out
}

// mediaTypes are told by name: those of the machine may be anything.
var mediaTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8"}

// ServeHTTP implements [http.Handler]. What is served is in the program that anybody
// may have, so no session is asked for.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, ok := a.byPath[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mediaTypes[path.Ext(r.URL.Path)])
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}
