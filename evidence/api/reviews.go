package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/evidence/review"
)

type reviewsInput struct {
	Tenant
	Limit int `query:"limit" minimum:"1" maximum:"9999" default:"100" doc:"Most reviews"`
}

type reviewsAnswer struct {
	Reviews []*review.Listed `json:"reviews" nullable:"false" doc:"The newest first"`
	Cut     []string         `json:"cut,omitempty" doc:"What is left out"`
}

// ReviewPath names a review.
type ReviewPath struct {
	Tenant
	Review string `path:"review" pattern:"^[0-9a-f-]{1,36}$" patternDescription:"hexadecimal digits" doc:"Id of the review; the first digits suffice"`
}

type reviewAnswer struct {
	*review.Review
	Progress []review.Progress `json:"progress" nullable:"false" doc:"By owner; lines that nobody answers for come first"`
}

func answerOf(r *review.Review) *reviewAnswer { return &reviewAnswer{r, r.Progress()} }

type createReviewInput struct {
	Tenant
	Once string `header:"Idempotency-Key" maxLength:"200" doc:"Makes a repetition of the request the same review"`
	Body struct {
		Name       string    `json:"name" minLength:"1" maxLength:"200" doc:"What it is called"`
		Owner      string    `json:"owner,omitempty" maxLength:"500" doc:"Only what this one answers for"`
		Server     string    `json:"server,omitempty" maxLength:"500" doc:"Only what is at this server"`
		From       time.Time `json:"from,omitzero" doc:"Begin of the period of what is counted (RFC 3339); absent: window_days before its end"`
		To         time.Time `json:"to,omitzero" doc:"End of the period; absent: now"`
		WindowDays int       `json:"window_days,omitempty" minimum:"1" maximum:"3650" doc:"Days for which a privilege must be unused to count as that; absent: 90"`
	}
}

func (s *Server) reviews() {
	ask(s, operation{id: "list-reviews", method: http.MethodGet, path: "/reviews", needs: ReadReviews, tag: "reviews", summary: "Access reviews, and how far they are"},
		func(ctx context.Context, q *question, in *reviewsInput) (*reviewsAnswer, error) {
			if err := s.limited(in.Limit); err != nil {
				return nil, err
			}
			found, err := review.List(ctx, q.conn, q.tenant, in.Limit+1)
			found = first(q, found, in.Limit, "reviews")
			return &reviewsAnswer{list(found), q.cut}, err
		})
	ask(s, operation{id: "get-review", method: http.MethodGet, path: "/reviews/{review}", needs: ReadReviews, tag: "reviews",
		summary: "One access review: its lines as they were frozen, and what was decided", description: "A caller whose roles do not read privileges sees the lines that it owns."},
		func(ctx context.Context, q *question, in *ReviewPath) (*reviewAnswer, error) {
			r, err := review.Load(ctx, q.conn, q.tenant, in.Review)
			if err != nil {
				return nil, err
			}
			if !may(q.caller.Roles, ReadPrivileges) {
				r.Narrow(q.caller.reviewer())
			}
			q.rows = len(r.Lines)
			return answerOf(r), nil
		})
	s.reviewReports()
	change(s, operation{id: "create-review", method: http.MethodPost, path: "/reviews", needs: RunReviews, tag: "reviews", summary: "Freeze what stands now, to be reviewed",
		description: "The newest checkpoints of the log are written into it. It becomes an event of type custody.change, which has its digest."}, s.createReview)
	s.reviewActs()
}

type reportInput struct {
	ReviewPath
	Format string `query:"format" enum:"html,json,pdf,csv,xlsx,oscal" default:"html"`
}

// reviewReports registers the report, in all its forms.
func (s *Server) reviewReports() {
	op := operation{id: "export-review", method: http.MethodGet, path: "/reviews/{review}/report", needs: Export, tag: "reviews", summary: "The report of an access review, to take away",
		description: "The same review with the same decisions is the same bytes. docs/reference/review.schema.json is the schema of the JSON."}
	described := s.describe(op)
	content := map[string]*huma.MediaType{}
	for _, name := range review.Formats() {
		content[review.MediaType(name)] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	}
	described.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: content}}
	huma.Register(s.api, described, func(ctx context.Context, in *reportInput) (*textAnswer, error) {
		return answered(ctx, s, op, in, func(ctx context.Context, q *question, in *reportInput) (*textAnswer, error) {
			r, err := review.Load(ctx, q.conn, q.tenant, in.Review)
			if err != nil {
				return nil, err
			}
			q.rows = len(r.Lines)
			var b bytes.Buffer
			err = review.NewReport(r).Write(&b, in.Format)
			return &textAnswer{review.MediaType(in.Format), b.Bytes()}, err
		})
	})
}

// reviewer is what the caller is in reviews.
func (c *Caller) reviewer() review.Reviewer {
	v := review.Reviewer{Names: []string{c.Party.Sub}, Admin: may(c.Roles, RunReviews)}
	if c.owner != "" {
		v.Names = append(v.Names, c.owner)
	}
	return v
}

func (s *Server) createReview(ctx context.Context, q *question, in *createReviewInput) (*reviewAnswer, error) {
	if err := s.reviewing(q, in.Tenant); err != nil {
		return nil, err
	}
	if q.tenant == "" {
		return nil, invalid("query.tenant", "a review is of one tenant: say which")
	}
	id := uuid.New()
	if in.Once != "" {
		id = uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "review\x00%s\x00%s\x00%s", q.tenant, q.caller.name(), in.Once))
		if r, err := review.Load(ctx, q.conn, q.tenant, id.String()); err == nil {
			q.asked["repeated"] = "true"
			return answerOf(r), s.record(ctx, q, http.StatusOK, nil)
		}
	}
	b := in.Body
	r, err := review.Freeze(ctx, review.Source{ClickHouse: q.conn, Reader: q.reader}, review.Request{
		ID: id, Name: s.redacted(b.Name), Now: s.cfg.Now(), CreatedIss: q.caller.Party.Iss, CreatedBy: q.caller.Party.Sub,
		Scope: review.Scope{Tenant: q.tenant, Owner: b.Owner, Server: b.Server, From: b.From, To: b.To, WindowDays: b.WindowDays},
	})
	if err != nil {
		return nil, err
	}
	r.EventID, err = s.seal(ctx, q, id, r.Created, map[string]string{
		"review": id.String(), "action": "created", "name": r.Name, "digest": r.Digest, "lines": strconv.Itoa(len(r.Lines)),
		"owner": b.Owner, "server": b.Server, "from": r.Scope.From.Format(time.RFC3339Nano), "to": r.Scope.To.Format(time.RFC3339Nano),
	})
	if err != nil {
		return nil, err
	}
	return answerOf(r), review.Put(ctx, s.cfg.History, r)
}

// reviewing narrows a question that changes a review.
func (s *Server) reviewing(q *question, t Tenant) error {
	if err := s.narrow(q, t.about()); err != nil {
		return err
	}
	if s.cfg.History == nil {
		return newProblem(http.StatusNotFound, "nothing can be reviewed here: serve.handler_password_file is not configured")
	}
	return nil
}

func (s *Server) redacted(text string) string {
	if s.cfg.Redact == nil {
		return text
	}
	return s.cfg.Redact(text)
}
