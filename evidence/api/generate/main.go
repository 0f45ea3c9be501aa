// Command generate writes the OpenAPI document into the file that it is given.
package main

import (
	"fmt"
	"os"

	"github.com/custody-audit/custody/evidence/api"
)

func main() {
	b, err := api.Document()
	if err == nil {
		err = os.WriteFile(os.Args[1], b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}
