package spool

import (
	"os"
	"syscall"
)

// syncData makes the data of a file durable, and its size, but not its times.
func syncData(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
