//go:build noengine

package embedded

import (
	"fmt"
	"os"
)

// A program of images: opening a shared library wants the C library's loader, with
// which it would not be static. It still starts a clickhouse binary.
func init() {
	if library := os.Getenv(childVariable); library != "" {
		fmt.Fprintf(os.Stderr, "this program was built without the loader of %s: install ClickHouse so that \"clickhouse\" is on PATH\n", library)
		os.Exit(1)
	}
}
