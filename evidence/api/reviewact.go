package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/evidence/review"
)

// ReviewActInput is what every act in a review has.
type ReviewActInput struct {
	ReviewPath
	Once string `header:"Idempotency-Key" maxLength:"200" doc:"Makes a repetition of the request the same acts"`
}

type decideInput struct {
	ReviewActInput
	Body struct {
		Lines  []string `json:"lines" minItems:"1" maxItems:"500" doc:"Keys of lines; the first digits suffice"`
		Reason string   `json:"reason" minLength:"1" maxLength:"2000" doc:"Why"`
	}
}

type exceptLinesInput struct {
	ReviewActInput
	Body struct {
		Lines  []string  `json:"lines" minItems:"1" maxItems:"500" doc:"Keys of lines; the first digits suffice"`
		Reason string    `json:"reason" minLength:"1" maxLength:"2000" doc:"Why"`
		Until  time.Time `json:"until" doc:"When the exception ends (RFC 3339); at most 366 days from now"`
	}
}

type closeReviewInput struct {
	ReviewActInput
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"2000" doc:"What there is to say"`
	}
}

type reviewActAnswer struct {
	Tenant   string            `json:"tenant"`
	Review   uuid.UUID         `json:"review"`
	Acts     []*review.Act     `json:"acts" nullable:"false" doc:"What was done now"`
	Progress []review.Progress `json:"progress" nullable:"false" doc:"By owner, as it is now"`
}

// reviewActs registers what can be done in a review.
func (s *Server) reviewActs() {
	const sealed = "Each line is an event of type custody.change before it counts. The owner of a line decides about it, or an admin; nobody lets stand what they hold themselves."
	for verb, of := range map[string]struct {
		action  review.Action
		summary string
	}{
		"certify": {review.Certify, "Say that lines stay"},
		"revoke":  {review.Revoke, "Say that lines are to be taken away, which Custody does not do itself"},
	} {
		change(s, operation{id: verb + "-lines", method: http.MethodPost, path: "/reviews/{review}/" + verb, needs: DecideReviews, tag: "reviews", summary: of.summary, description: sealed},
			func(ctx context.Context, q *question, in *decideInput) (*reviewActAnswer, error) {
				return s.decide(ctx, q, &in.ReviewActInput, in.Body.Lines, review.Act{Action: string(of.action), Reason: in.Body.Reason})
			})
	}
	change(s, operation{id: "except-lines", method: http.MethodPost, path: "/reviews/{review}/except", needs: DecideReviews, tag: "reviews", summary: "Let lines stand until a time", description: sealed},
		func(ctx context.Context, q *question, in *exceptLinesInput) (*reviewActAnswer, error) {
			return s.decide(ctx, q, &in.ReviewActInput, in.Body.Lines, review.Act{Action: string(review.Except), Reason: in.Body.Reason, Until: in.Body.Until.UTC().Truncate(time.Microsecond)})
		})
	change(s, operation{id: "close-review", method: http.MethodPost, path: "/reviews/{review}/close", needs: RunReviews, tag: "reviews", summary: "End a review: nothing is decided in it any more",
		description: "Lines about which nobody decided stay open, and a report says so."},
		func(ctx context.Context, q *question, in *closeReviewInput) (*reviewActAnswer, error) {
			return s.decide(ctx, q, &in.ReviewActInput, nil, review.Act{Action: string(review.Close), Reason: in.Body.Reason})
		})
}

// decide does an act about each line, or about the review when there are none. All
// are checked before the first has an effect.
func (s *Server) decide(ctx context.Context, q *question, in *ReviewActInput, keys []string, said review.Act) (*reviewActAnswer, error) {
	if err := s.reviewing(q, in.Tenant); err != nil {
		return nil, err
	}
	s.acting.Lock() // what is checked below is what is acted upon; other servers are not kept out
	defer s.acting.Unlock()
	r, err := review.Load(ctx, q.conn, q.tenant, in.Review)
	if err != nil {
		return nil, err
	}
	q.tenant, said.Reason = r.Scope.Tenant, s.redacted(said.Reason)
	q.asked["review"], q.asked["action"], q.asked["comment"] = r.ID.String(), said.Action, said.Reason
	said.Time, said.ActorIss, said.ActorSub = s.cfg.Now().UTC().Truncate(time.Microsecond), q.caller.Party.Iss, q.caller.Party.Sub
	var lines []*review.Line
	for _, key := range keys {
		l, err := r.Line(key)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(lines, l) {
			lines = append(lines, l)
		}
	}
	if len(keys) == 0 {
		lines = []*review.Line{nil}
	}
	acts, err := s.signAll(q, in, r, lines, said)
	if err != nil {
		return nil, err
	}
	for i, a := range acts {
		if !slices.Contains(r.Acts, a) {
			if err := s.enter(ctx, q, r, lines[i], a); err != nil {
				return nil, err
			}
			r.Acts = append(r.Acts, a)
		}
	}
	return &reviewActAnswer{r.Scope.Tenant, r.ID, acts, r.Progress()}, nil
}

// signAll makes the acts, and refuses all if one is refused. An act that the same
// request did before is that one.
func (s *Server) signAll(q *question, in *ReviewActInput, r *review.Review, lines []*review.Line, said review.Act) ([]*review.Act, error) {
	var acts []*review.Act
	for _, l := range lines {
		a := said
		a.ID = uuid.New()
		if l != nil {
			a.Line = l.Key
		}
		if in.Once != "" {
			a.ID = uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s", r.ID, a.Line, q.caller.name(), in.Once))
		}
		if i := slices.IndexFunc(r.Acts, func(b *review.Act) bool { return b.ID == a.ID }); i >= 0 {
			if !r.Acts[i].Same(&a) {
				return nil, invalid("header.Idempotency-Key", "another act in this review had the same key")
			}
			acts = append(acts, r.Acts[i])
			continue
		}
		v := q.caller.reviewer()
		if l != nil {
			if err := v.May(l); err != nil {
				return nil, &refusal{http.StatusForbidden, "owner", err.Error()}
			}
		}
		if err := a.Check(r, l, v); err != nil {
			return nil, err
		}
		acts = append(acts, &a)
	}
	return acts, nil
}

// enter makes an act evidence, and then what it is.
func (s *Server) enter(ctx context.Context, q *question, r *review.Review, l *review.Line, a *review.Act) (err error) {
	more := map[string]string{"digest": r.Digest}
	if l != nil {
		more = map[string]string{"digest": r.Digest, "line": l.Key, "line_kind": l.Kind, "line_name": l.Name, "owner": l.Owner, "identity": l.Identity, "line_server": l.Server, "state": l.State}
	}
	if !a.Until.IsZero() {
		more["until"] = a.Until.Format(time.RFC3339Nano)
	}
	if a.EventID, err = s.seal(ctx, q, a.ID, a.Time, more); err != nil {
		return err
	}
	return review.Append(ctx, s.cfg.History, r, a)
}
