//go:build !linux

package faults

import (
	"context"
	"errors"
	"time"
)

// disk is ClickHouse's data folder; here it is never made full.
type disk struct{}

func (*disk) mount(string) error { return nil }
func (*disk) unmount() error     { return nil }

func (*estate) limited() bool { return false }

func (*estate) fillDisk(context.Context, time.Duration) error {
	return errors.New("not on this system")
}
