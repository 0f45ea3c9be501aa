//go:build !noengine

package embedded

import (
	"fmt"
	"os"

	"github.com/ebitengine/purego"
)

func init() {
	if library := os.Getenv(childVariable); library != "" {
		os.Exit(runChild(library, os.Args[1:]))
	}
}

// runChild opens the library and hands it the process: it returns when the
// query it was given has ended, which is when the parent closed the FIFO.
func runChild(library string, args []string) int {
	handle, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		fmt.Fprintln(os.Stderr, "open the engine:", err)
		return 1
	}
	var run func(argc int32, argv **byte) uintptr
	purego.RegisterLibFunc(&run, handle, "chdb_query_cmdline")
	argv := make([]*byte, 0, len(args)+2)
	for _, a := range append([]string{"clickhouse"}, args...) {
		argv = append(argv, &append([]byte(a), 0)[0])
	}
	run(int32(len(argv)), &append(argv, nil)[0])
	return 0
}
