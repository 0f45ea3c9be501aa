package console

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/evidence/review"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/worklist"
)

// homeView is what needs attention now. A part that the caller may not see is nil.
type homeView struct {
	Findings   *homeFindings
	Mine       []*worklist.Finding
	Sources    *homeSources
	Reviews    *homeReviews
	Quarantine *conflicts
	Dead       *deadLetters // of callers of all tenants who look at all of them
	Integrity  *homeIntegrity
	Failed     []string // parts that could not be asked, and why
}

type homeFindings struct {
	Counts []severityCount // the severest first
	Total  int
	More   bool // there are more than were counted
	First  []*worklist.Finding
}

type severityCount struct {
	Severity string
	Findings int
}

// homeSources are the sources that were heard of in a week.
type homeSources struct {
	Heard  int
	Silent []*heardSource
}

type homeReviews struct {
	Open  []*review.Listed
	Lines uint64 // that nobody decided about
}

// homeIntegrity is whether what is stored was held against what was sealed.
type homeIntegrity struct {
	Reconciliations []*query.Reconciliation
	Discrepancies   int
	More            bool // there are more than were counted
	Unsigned        int  // trees whose newest checkpoint has no signature of the log
	Stale           bool // nobody looked for a day
}

// Bounds of what Home looks at.
const (
	homeWeek    = 7 * 24 * time.Hour
	homeSilence = 24 * time.Hour // after which a source that spoke before is silent
	homeRows    = 8
	homeMost    = 500
)

func home(q *request) (*view, error) {
	h := &homeView{}
	for _, part := range []struct {
		name  string
		needs api.Permission
		ask   func(*request, *homeView) error
	}{
		{"findings", api.ReadFindings, homeOfFindings}, {"sources", api.ReadVerdicts, homeOfSources},
		{"reviews", api.ReadReviews, homeOfReviews}, {"quarantine", api.ReadQuarantine, homeOfQuarantine}, {"integrity", api.ReadIntegrity, homeOfIntegrity},
	} {
		if !q.who.May(string(part.needs)) {
			continue
		}
		var p *api.Problem
		switch err := part.ask(q, h); {
		case errors.As(err, &p) && p.Status != http.StatusUnauthorized:
			h.Failed = append(h.Failed, part.name+": "+p.Detail) // the other parts can be seen all the same
		case err != nil:
			return nil, err
		}
	}
	return &view{name: "home", title: "Home", data: h}, nil
}

func homeOfFindings(q *request, h *homeView) error {
	var all struct{ Findings []*worklist.Finding }
	most := min(homeMost, q.who.Limits.Rows)
	if err := q.get("/findings", &all, "limit", strconv.Itoa(most)); err != nil {
		return err
	}
	f := &homeFindings{Total: len(all.Findings), More: len(all.Findings) == most, First: all.Findings[:min(len(all.Findings), homeRows)]}
	counts := map[string]int{}
	for _, x := range all.Findings {
		counts[x.Severity]++
		if x.Assignee == q.who.Name && len(h.Mine) < homeRows {
			h.Mine = append(h.Mine, x)
		}
	}
	for _, s := range slices.Backward(detect.Severities) {
		f.Counts = append(f.Counts, severityCount{string(s), counts[string(s)]})
	}
	h.Findings = f
	return nil
}

func homeOfSources(q *request, h *homeView) error {
	all, err := heard(q)
	if err != nil {
		return err
	}
	h.Sources = &homeSources{len(all), slices.DeleteFunc(all, func(s *heardSource) bool { return !s.Silent })}
	return nil
}

func homeOfReviews(q *request, h *homeView) error {
	var answer struct{ Reviews []*review.Listed }
	if err := q.get("/reviews", &answer, "limit", "50"); err != nil {
		return err
	}
	h.Reviews = &homeReviews{}
	for _, r := range answer.Reviews {
		if !r.Closed && r.Open > 0 {
			h.Reviews.Open = append(h.Reviews.Open, r)
			h.Reviews.Lines += r.Open
		}
	}
	return nil
}

func homeOfQuarantine(q *request, h *homeView) (err error) {
	if h.Quarantine, err = conflictsOf(q); err != nil || q.tenant != "" {
		return err
	}
	h.Dead, err = deadLettersOf(q)
	return err
}

func homeOfIntegrity(q *request, h *homeView) error {
	var answer integrityPage
	if err := q.get("/integrity", &answer); err != nil {
		return err
	}
	h.Integrity = &homeIntegrity{Reconciliations: answer.Reconciliations, Discrepancies: len(answer.Discrepancies), More: len(answer.Cut) > 0}
	for _, t := range answer.Trees {
		if t.Signature == "invalid" {
			h.Integrity.Unsigned++
		}
	}
	if r := answer.Reconciliations; len(r) > 0 {
		h.Integrity.Stale = q.console.cfg.Now().Sub(r[0].Ended) > homeSilence
	}
	return nil
}
