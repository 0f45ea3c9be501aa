package console

import (
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// Whatever an event says is shown: as text, isolated, and cut where it is long.
func TestShow(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"planner":              "<bdi>planner</bdi>",
		`<b>&"'`:               "<bdi>&lt;b&gt;&amp;&#34;&#39;</bdi>",
		"\u202eevil\x00\n\xff": `<bdi>\u202eevil\u0000\u000a\ufffd</bdi>`,
	} {
		if got := string(show(in)); got != want {
			t.Errorf("show(%q) = %s, want %s", in, got, want)
		}
	}
	long := strings.Repeat("ü<", 50_000)
	got := string(show(long))
	if !strings.Contains(got, "<details") || !strings.Contains(got, "100,000 characters") || strings.Contains(got, "ü<") || strings.Count(got, "ü") != 50_000+shownAtOnce/2 {
		t.Errorf("a long text: %.300s, %d", got, strings.Count(got, "ü"))
	}
	if got := string(short(long)); len(got) > 4000 || !strings.Contains(got, "…") {
		t.Errorf("the short form has %d bytes", len(got))
	}
}

func TestWhen(t *testing.T) {
	at := time.Date(2026, 11, 5, 9, 30, 0, 250e6, time.FixedZone("", 3600))
	want := `<time datetime="2026-11-05T08:30:00.25Z" title="2026-11-05 08:30:00.250 UTC">2026-11-05 08:30:00 UTC</time>`
	for _, v := range []any{at, &at, event.TimeOf(at)} {
		if got := string(when(v)); got != want {
			t.Errorf("when(%T) = %s, want %s", v, got, want)
		}
	}
	for _, v := range []any{time.Time{}, (*time.Time)(nil), event.Time(0), time.Unix(0, 0)} {
		if got := string(when(v)); !strings.Contains(got, "never") {
			t.Errorf("when(%#v) = %s", v, got)
		}
	}
}

func TestTerm(t *testing.T) {
	for _, x := range []struct{ field, value, want string }{
		{"actor", "planner", "actor:planner"}, {"actor", "two words", `actor:"two words"`}, {"actor", "", ""}, {"actor", `a"b`, ""}, {"actor", "a,b", ""}, {"actor", "a*", ""}, {"nothing", "x", ""},
	} {
		if got := term(x.field, x.value); got != x.want {
			t.Errorf("term(%q, %q) = %q, want %q", x.field, x.value, got, x.want)
		}
	}
}

func TestCount(t *testing.T) {
	for in, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := count(in); got != want {
			t.Errorf("count(%d) = %s, want %s", in, got, want)
		}
	}
}

func TestProse(t *testing.T) {
	const in = "One line\ngoes on.\n\n1. First `a<b`\n   of two\n2. Second\n"
	const want = "<p>One line goes on.</p><p>1. First <code>a&lt;b</code> of two</p><p>2. Second</p>"
	if got := string(prose(in)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
