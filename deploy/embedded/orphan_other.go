//go:build !linux

package embedded

import "syscall"

// dieWithParent does nothing here. The library ends with its parent all the same,
// because the FIFO does; a clickhouse binary goes on, and is to be ended by hand.
func dieWithParent() *syscall.SysProcAttr { return nil }
