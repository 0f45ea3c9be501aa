// Command generate writes docs/detections.md from the built-in rules.
package main

import (
	"fmt"
	"os"

	"github.com/custody-audit/custody/processor/detect"
)

func main() {
	if err := run("../../docs/detections.md"); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	rules, err := detect.Builtin()
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(detect.Document(rules)), 0o644)
}
