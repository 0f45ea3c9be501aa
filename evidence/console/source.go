package console

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/custody-audit/custody/evidence/query"
)

// sourcesView is who was heard of.
type sourcesView struct {
	Days    int
	Sources []*heardSource
	Refused *refusedView
	// What the form says, and then what to type and to paste.
	Name, As, Servers, Kind, Collector string
	Kinds                              []sourceKind
	Snippet                            *snippet
}

// heardSource is a source with what it reported about.
type heardSource struct {
	Tenant, Source string
	Last           time.Time
	Kinds          []heardKind
	Silent         bool
	Refused        int // of what it sent, as far as it was asked for
}

type heardKind struct {
	Kind, About string
	Hours       uint64
}

// sourceDays are how far back it is looked for sources.
const sourceDays = 7

// heard are the sources that were heard of, the longest silent first.
func heard(q *request) ([]*heardSource, error) {
	now := q.console.cfg.Now()
	var answer struct{ Coverage []query.SourceCoverage }
	if err := q.get("/coverage", &answer, "from", now.AddDate(0, 0, -sourceDays).UTC().Format(time.RFC3339)); err != nil {
		return nil, err
	}
	var out []*heardSource
	of := map[[2]string]*heardSource{}
	for _, c := range answer.Coverage {
		key := [2]string{c.Tenant, c.Source}
		x := of[key]
		if x == nil {
			x = &heardSource{Tenant: c.Tenant, Source: c.Source}
			of[key] = x
			out = append(out, x)
		}
		if c.Last.After(x.Last) {
			x.Last = c.Last
		}
		x.Kinds = append(x.Kinds, heardKind{c.Kind, cmp.Or(c.Server, c.Issuer), c.Hours})
	}
	for _, x := range out {
		x.Silent = now.Sub(x.Last) > homeSilence
	}
	slices.SortStableFunc(out, func(a, b *heardSource) int {
		return cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Source, b.Source))
	})
	return out, nil
}

func sources(q *request) (*view, error) {
	all, err := heard(q)
	if err != nil {
		return nil, err
	}
	refused, err := refusedOf(q)
	if err != nil {
		return nil, err
	}
	for _, x := range all {
		x.Refused = refused.ofSource(x.Tenant, x.Source)
	}
	v := q.URL.Query()
	s := &sourcesView{Days: sourceDays, Sources: all, Refused: refused, Name: v.Get("name"), As: cmp.Or(v.Get("as"), q.tenant), Servers: v.Get("servers"),
		Kind: v.Get("kind"), Collector: cmp.Or(v.Get("collector"), localCollector), Kinds: sourceKinds}
	if s.Name != "" && s.As != "" {
		s.Snippet = newSnippet(s.Name, s.As, s.Servers, s.Kind, s.Collector)
	}
	return &view{name: "sources", title: "Sources", data: s}, nil
}

// shellWord is a word of a command line, whatever is in it.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/:@-") == "" && s[0] != '-' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
