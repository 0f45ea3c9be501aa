package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/otlp"
)

// A source may be of every type that has an endpoint, and of no other.
func TestTypesOfSources(t *testing.T) {
	want := slices.Sorted(maps.Keys(parsers))
	want = append(want, native.Type, otlp.Type)
	slices.Sort(want)
	if diff := cmp.Diff(want, collector.Types); diff != "" {
		t.Errorf("collector.Types (-want +got):\n%s", diff)
	}
}
