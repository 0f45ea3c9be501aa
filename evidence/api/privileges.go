package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/custody-audit/custody/evidence/policy"
	"github.com/custody-audit/custody/evidence/query"
)

// Judging says when a privilege counts as used, and when it is old enough to judge.
type Judging struct {
	WindowDays int `query:"window_days" minimum:"1" maximum:"3650" default:"90" doc:"Days in which a use counts"`
	AgeDays    int `query:"age_days" minimum:"-1" maximum:"3650" default:"-1" doc:"How many days old a grant must be to be judged, and for how long calls of its server must have been seen; -1: as the window"`
}

func (j Judging) filter(now time.Time) query.PrivilegeFilter {
	f := query.PrivilegeFilter{Window: time.Duration(j.WindowDays) * 24 * time.Hour, Now: now}
	if j.AgeDays >= 0 {
		age := time.Duration(j.AgeDays) * 24 * time.Hour
		f.MinAge = &age
	}
	return f
}

type privilegesInput struct {
	Tenant
	Judging
	Identity string   `query:"identity" maxLength:"2048" doc:"Only what this identity holds"`
	Iss      string   `query:"iss" maxLength:"2048" doc:"Only of identities of this issuer"`
	Server   string   `query:"server" maxLength:"2048" doc:"Only at this server"`
	Kind     string   `query:"privilege" enum:"scope,tool" doc:"Only these"`
	Name     string   `query:"privilege_name" maxLength:"2048" doc:"Only this scope or tool"`
	State    []string `query:"state" maxItems:"20" doc:"Only in one of these states; absent: in any"`
	Limit    int      `query:"limit" minimum:"1" maximum:"9999" default:"100" doc:"Most privileges"`
}

type privilegesAnswer struct {
	Privileges []*query.Privilege `json:"privileges" nullable:"false" doc:"What to remove first first"`
	States     map[string]uint64  `json:"states" doc:"How many there are in each state, whatever states were asked for"`
	Since      time.Time          `json:"since" doc:"When the window begins"`
	Judged     time.Time          `json:"judged" doc:"A grant that is younger is not judged"`
	Cut        []string           `json:"cut,omitempty" doc:"What is left out"`
}

type suggestionInput struct {
	Tenant
	Judging
	Holder string `path:"holder" maxLength:"2048" doc:"The identity"`
	Iss    string `query:"iss" maxLength:"2048" doc:"The identity's issuer, where several have one of that name"`
}

type suggestionAnswer struct {
	*query.Suggestion
	Rego  string `json:"rego" doc:"A draft of a policy for OPA"`
	Cedar string `json:"cedar" doc:"The same for Cedar"`
}

func (s *Server) privileges() {
	ask(s, operation{id: "list-privileges", method: http.MethodGet, path: "/privileges", needs: ReadPrivileges, tag: "privileges",
		summary: "What identities were granted at servers, and whether they use it"}, s.listPrivileges)
	ask(s, operation{id: "suggest-privileges", method: http.MethodGet, path: "/privileges/{holder}/suggestion", needs: ReadPrivileges, tag: "privileges",
		summary: "The least privilege that an identity gets by with, what it would have denied, and drafts of policies"},
		func(ctx context.Context, q *question, in *suggestionInput) (*suggestionAnswer, error) {
			f := in.filter(s.cfg.Now())
			f.Identity, f.Iss = in.Holder, in.Iss
			out, err := q.reader.Suggest(ctx, f)
			if err != nil {
				return nil, err
			}
			q.rows = len(out.Keep) + len(out.Remove)
			return &suggestionAnswer{out, policy.Rego(out), policy.Cedar(out)}, nil
		})
}

func (s *Server) listPrivileges(ctx context.Context, q *question, in *privilegesInput) (*privilegesAnswer, error) {
	if err := s.limited(in.Limit); err != nil {
		return nil, err
	}
	for _, state := range in.State {
		if !slices.Contains(query.PrivilegeStates, state) {
			return nil, invalid("query.state", "want some of "+strings.Join(query.PrivilegeStates, ", "))
		}
	}
	f := in.filter(s.cfg.Now())
	f.Identity, f.Iss, f.Server, f.Kind, f.Name, f.States = in.Identity, in.Iss, in.Server, in.Kind, in.Name, in.State
	page, err := q.reader.Privileges(ctx, f, in.Limit)
	if err != nil {
		return nil, err
	}
	q.rows = len(page.Privileges)
	if page.Cut {
		q.cut = []string{fmt.Sprintf("privileges after the first %d: narrow the question, or raise the limit", in.Limit)}
	}
	return &privilegesAnswer{list(page.Privileges), page.States, page.Since, page.Judged, q.cut}, nil
}
