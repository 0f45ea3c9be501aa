package board_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/custody-audit/custody/dashboards/board"
)

const header = "-- How many?\n-- Row: one thing,\n-- or two.\n-- Units: things.\n-- Not covered: the rest.\n-- Empty: There is nothing.\n"

// What is wrong with a file fails the build and is named, all at once.
func TestBuildErrors(t *testing.T) {
	files := fstest.MapFS{
		"good.sql":     {Data: []byte(header + "SELECT count() FROM events WHERE tenant = {tenant:String} AND time > {from:DateTime64(3)}")},
		"unknown.sql":  {Data: []byte(header + "SELECT {limit:UInt32}, {tenant:Identifier}")},
		"macro.sql":    {Data: []byte(header + "SELECT 1 WHERE $__timeFilter(time)")},
		"array.sql":    {Data: []byte(header + "SELECT [[tenant]]")},
		"headless.sql": {Data: []byte("-- How many?\n-- Row: one thing.\nSELECT 1")},
	}
	for file, wants := range map[string][]string{
		"good":     nil,
		"unknown":  {"unknown.sql", "{limit:UInt32}", "{tenant:Identifier}"},
		"macro":    {"macro.sql", "$_"},
		"array":    {"array.sql", "[[t"},
		"headless": {"headless.sql", "no Units", "no Not covered", "no Empty"},
		"missing":  {"missing.sql"},
	} {
		b := board.New("test", "Test", "A test.", files)
		b.Add(b.Table("Table", file))
		_, err := b.Build()
		if wants == nil && err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", file, err, want)
			}
		}
	}
}

func TestHeaderAndExpansion(t *testing.T) {
	files := fstest.MapFS{"good.sql": {Data: []byte(header + "SELECT {interval:UInt32}, {agent:String}\n")}}
	b := board.New("test", "Test", "A test.", files)
	b.Table("Table", "good")
	q := b.Queries()[0]
	if want := (board.Header{Question: "How many?", Row: "one thing, or two.", Units: "things.", NotCovered: "the rest.", Empty: "There is nothing."}); q.Header != want {
		t.Errorf("header %+v, want %+v", q.Header, want)
	}
	if want := "SELECT $__interval_s, decodeURLComponent('${agent:percentencode}')"; q.RawSQL != want {
		t.Errorf("expanded to %q, want %q", q.RawSQL, want)
	}
}

func TestUnknownVariable(t *testing.T) {
	b := board.New("test", "Test", "A test.", fstest.MapFS{})
	b.Choose("tenant", "colour")
	if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), `"colour"`) {
		t.Errorf("a variable that nobody knows: %v", err)
	}
}
