package scenario

import (
	"cmp"
	"maps"
	"slices"

	"github.com/custody-audit/custody/processor/detect"
)

// Score is how a rule did.
type Score struct {
	Incidents int     `json:"incidents"`
	Found     int     `json:"found"`
	Missed    int     `json:"missed"`
	Findings  int     `json:"findings"`
	False     int     `json:"false"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	Cost
}

// rate fills in the ratios; of nothing they are 1.
func (s *Score) rate() {
	s.Missed, s.Precision, s.Recall = s.Incidents-s.Found, 1, 1
	if s.Findings > 0 {
		s.Precision = float64(s.Findings-s.False) / float64(s.Findings)
	}
	if s.Incidents > 0 {
		s.Recall = float64(s.Found) / float64(s.Incidents)
	}
}

// book holds findings against labels.
type book struct {
	labels []*Label
	events map[string][]*Label // by all events of an incident
	found  map[*Label]bool
	rules  map[string]*Score
	// Wrong are the first false findings of each rule.
	wrong map[string][]*detect.Finding
}

// newBook counts the incidents of rules that judge; those of others a rule may tell of.
func newBook(labels []*Label, judges func(rule string) bool) *book {
	b := &book{events: map[string][]*Label{}, found: map[*Label]bool{}, rules: map[string]*Score{}, wrong: map[string][]*detect.Finding{}}
	for _, l := range labels {
		if judges(l.Rule) {
			b.labels = append(b.labels, l)
			b.of(l.Rule).Incidents++
		}
		for _, id := range l.all {
			b.events[id] = append(b.events[id], l)
		}
	}
	return b
}

func (b *book) of(rule string) *Score {
	if b.rules[rule] == nil {
		b.rules[rule] = &Score{}
	}
	return b.rules[rule]
}

// judge takes in the findings of a rule. One is right when it cites an event that its
// rule has to find, or one of an incident that its rule tells of too. It may be of
// several incidents.
func (b *book) judge(rule string, findings []*detect.Finding, cost Cost) {
	score := b.of(rule)
	score.Findings, score.Cost = len(findings), cost
	for _, f := range findings {
		right := false
		for _, id := range f.Evidence {
			for _, l := range b.events[id.String()] {
				switch {
				case l.Rule == rule && slices.Contains(l.marked, id.String()):
					right, b.found[l] = true, true
				case slices.Contains(l.Also, rule):
					right = true
				}
			}
		}
		if !right {
			score.False++
			b.wrong[rule] = append(b.wrong[rule], f)
		}
	}
}

// missed are the incidents that nobody found, by rule.
func (b *book) missed() []*Label {
	return slices.DeleteFunc(slices.Clone(b.labels), func(l *Label) bool { return b.found[l] })
}

// total is the sum over all rules.
func (b *book) total() (t Score) {
	for l := range b.found {
		b.of(l.Rule).Found++
	}
	for _, rule := range slices.SortedFunc(maps.Keys(b.rules), cmp.Compare[string]) {
		s := b.rules[rule]
		s.rate()
		t.Incidents, t.Found, t.Findings, t.False = t.Incidents+s.Incidents, t.Found+s.Found, t.Findings+s.Findings, t.False+s.False
	}
	t.rate()
	return t
}
