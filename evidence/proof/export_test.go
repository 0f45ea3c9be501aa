package proof

import (
	"bytes"
	"fmt"
)

// Packed is a file of a bundle, for tests that change it.
type Packed struct {
	Name    string
	Content []byte
}

// Pack writes files as a bundle has them.
func Pack(files []Packed) []byte {
	var entries []entry
	for _, f := range files {
		entries = append(entries, newEntry(f.Name, f.Content))
	}
	var b bytes.Buffer
	if err := writeArchive(&b, entries); err != nil {
		panic(fmt.Sprint("pack: ", err)) // into memory
	}
	return b.Bytes()
}

// Sum is what a manifest says of a file.
func Sum(f Packed) File {
	e := newEntry(f.Name, f.Content)
	return e.file()
}

// ManifestText is what is signed for a manifest.
var ManifestText = manifestText

// EncodeManifest writes a manifest.
var EncodeManifest = encodeManifest
