package retain

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// State is what is in force for one tenant.
type State struct {
	Tenant string `json:"tenant"`
	// Rules by kind; those of days 0 keep for ever, as what no rule is about is kept.
	Rules []*Act `json:"rules" nullable:"false"`
	// Holds that are not released, the oldest first.
	Holds []*Act `json:"holds" nullable:"false"`
	// Erasures are of people, the oldest first.
	Erasures []*Act `json:"erasures" nullable:"false"`

	released time.Time // when a hold ended last
}

// Fold returns what acts lead to, by tenant. The acts in between the store's and
// those of events are the same with the same id; those of events count as they are
// there. Strict lets an act that no event shows only keep records, never let them
// be deleted: it may be on its way, or somebody wrote it beside.
func Fold(acts []*Act, strict bool) []*State {
	acts = slices.Clone(acts)
	slices.SortStableFunc(acts, func(a, b *Act) int {
		first := 0
		if a.sealed != b.sealed {
			first = 1
			if a.sealed {
				first = -1
			}
		}
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), slices.Compare(a.ID[:], b.ID[:]), first)
	})
	acts = slices.CompactFunc(acts, func(a, b *Act) bool { return a.Tenant == b.Tenant && a.ID == b.ID })
	slices.SortStableFunc(acts, func(a, b *Act) int { return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), a.Time.Compare(b.Time)) })
	var out []*State
	for _, a := range acts {
		if len(out) == 0 || out[len(out)-1].Tenant != a.Tenant {
			out = append(out, &State{Tenant: a.Tenant, Rules: []*Act{}, Holds: []*Act{}, Erasures: []*Act{}})
		}
		out[len(out)-1].take(a, !strict || a.sealed)
	}
	for _, s := range out {
		slices.SortFunc(s.Rules, func(a, b *Act) int { return cmp.Compare(a.Kind, b.Kind) })
	}
	return out
}

func (s *State) take(a *Act, counts bool) {
	switch Action(a.Action) {
	case Set:
		i := slices.IndexFunc(s.Rules, func(r *Act) bool { return r.Kind == a.Kind })
		switch {
		case i < 0 && (counts || a.Days == 0):
			s.Rules = append(s.Rules, a)
		case i >= 0 && (counts || longer(a.Days, s.Rules[i].Days)):
			s.Rules[i] = a
		}
	case Held:
		s.Holds = append(s.Holds, a)
	case Erased:
		if counts {
			s.Erasures = append(s.Erasures, a)
		}
	case Released:
		if counts {
			s.released = a.Time
			s.Holds = slices.DeleteFunc(s.Holds, func(h *Act) bool { return h.ID == a.Hold })
		}
	}
}

// longer tells whether one rule keeps longer than another; 0 is for ever.
func longer(a, b uint32) bool { return b != 0 && (a == 0 || a > b) }

// Hold is the one of an id.
func (s *State) Hold(id uuid.UUID) *Act {
	if i := slices.IndexFunc(s.Holds, func(h *Act) bool { return h.ID == id }); i >= 0 {
		return s.Holds[i]
	}
	return nil
}

// longest is for how many days the tenant's records are kept at most; 0 is for ever.
func (s *State) longest() (days uint32) {
	if !slices.ContainsFunc(s.Rules, func(r *Act) bool { return r.Kind == "" }) {
		return 0 // there are kinds without a rule
	}
	for _, r := range s.Rules {
		if r.Days == 0 {
			return 0
		}
		days = max(days, r.Days)
	}
	return days
}
