package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// disk is ClickHouse's data folder. As root it is a file system of its own, in
// memory, that can be made full.
type disk struct{ dir string }

// diskBytes is what ClickHouse has when the disk is not full: some 3 million events.
const diskBytes = 2 << 30

func (d *disk) mount(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	err := syscall.Mount("custody-faults", dir, "tmpfs", 0, size(diskBytes))
	if errors.Is(err, syscall.EPERM) {
		return nil // root of a container that may not
	}
	if err != nil {
		return fmt.Errorf("mount a file system for ClickHouse: %w", err)
	}
	d.dir = dir
	return nil
}

func size(bytes int64) string { return fmt.Sprintf("size=%d,mode=0700", bytes) }

// limited says whether the disk can be made full.
func (e *estate) limited() bool { return e.disk.dir != "" }

// leftBytes are less than ClickHouse is told to leave ([embedded.SpareBytes]), and
// enough for the merges that are under way.
const leftBytes = 128 << 20

// fillDisk leaves ClickHouse nothing for new parts for a time.
func (e *estate) fillDisk(ctx context.Context, d time.Duration) error {
	dir := e.disk.dir
	resize := func(bytes int64) error {
		return syscall.Mount("custody-faults", dir, "tmpfs", syscall.MS_REMOUNT, size(bytes))
	}
	err := errors.New("not tried")
	for tries := 0; err != nil && tries < 100; tries++ { // it is written to meanwhile
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil {
			return err
		}
		err = resize(int64(s.Blocks-s.Bfree)*int64(s.Bsize) + leftBytes)
	}
	if err != nil {
		return fmt.Errorf("make the disk full: %w", err)
	}
	wait(ctx, d)
	return resize(diskBytes)
}

func (d *disk) unmount() error {
	if d.dir == "" {
		return nil
	}
	if err := syscall.Unmount(d.dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", d.dir, err)
	}
	return nil
}
