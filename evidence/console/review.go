package console

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/review"
)

// reviewsView are the access reviews.
type reviewsView struct {
	Reviews []*review.Listed
	Cut     []string
	May     bool // create one
	Once    string
}

func reviews(q *request) (*view, error) {
	var answer struct {
		Reviews []*review.Listed
		Cut     []string
	}
	if err := q.get("/reviews", &answer); err != nil {
		return nil, err
	}
	return &view{name: "reviews", title: "Reviews", data: &reviewsView{answer.Reviews, answer.Cut, q.who.May(string(api.RunReviews)), rand.Text()}}, nil
}

// createReview freezes what stands now.
func createReview(q *request) (*view, error) {
	body := map[string]any{"name": q.PostFormValue("name")}
	for _, name := range []string{"owner", "server"} {
		if v := strings.TrimSpace(q.PostFormValue(name)); v != "" {
			body[name] = v
		}
	}
	if days, err := strconv.Atoi(q.PostFormValue("window_days")); err == nil {
		body["window_days"] = days
	}
	var created review.Review
	if err := q.do(http.MethodPost, "/reviews", http.Header{"Idempotency-Key": {q.PostFormValue("once")}}, body, &created); err != nil {
		return nil, err
	}
	return &view{to: link(created.Scope.Tenant, "/reviews/"+created.ID.String(), "done", "review-created")}, nil
}

// reviewView is one review, with some of its lines.
type reviewView struct {
	*review.Review
	Progress []review.Progress
	Shown    []*reviewLine
	State    string // of the lines that are shown: open, decided or all
	Owner    string
	Total    int // lines that are so
	From     int
	Before   string // links to other lines; empty: there are none
	After    string
	Closed   *review.Act
	MayAct   bool
	MayClose bool
	Reports  []exportLink
	Once     string
}

type reviewLine struct {
	*review.Line
	Decided *review.Act // nil: nobody did
}

// lineRows are how many lines a page has.
const lineRows = 200

func showReview(q *request) (*view, error) {
	var answer struct {
		review.Review
		Progress []review.Progress
	}
	path := "/reviews/" + url.PathEscape(q.PathValue("review"))
	if err := q.get(path, &answer); err != nil {
		return nil, err
	}
	v := q.URL.Query()
	r := &reviewView{Review: &answer.Review, Progress: answer.Progress, State: v.Get("state"), Owner: v.Get("owner"), Closed: answer.Review.Closed(), Once: rand.Text()}
	if !slices.Contains([]string{"open", "decided", "all"}, r.State) {
		r.State = "open"
	}
	r.MayAct = r.Closed == nil && q.who.May(string(api.DecideReviews))
	r.MayClose = r.Closed == nil && q.who.May(string(api.RunReviews))
	r.From, _ = strconv.Atoi(v.Get("from"))
	r.choose(func(from int) string {
		return link(q.tenant, q.URL.Path, "state", r.State, "owner", r.Owner, "from", strconv.Itoa(from))
	})
	if q.who.May(string(api.Export)) {
		for _, f := range review.Formats() {
			r.Reports = append(r.Reports, exportLink{strings.ToUpper(f), link(r.Scope.Tenant, api.Prefix+path+"/report", "format", f)})
		}
	}
	return &view{name: "review", title: r.Name, scripts: []string{"review.js"}, data: r}, nil
}

// choose finds the lines that are shown.
func (r *reviewView) choose(page func(from int) string) {
	decided := r.Decided()
	for _, l := range r.Lines {
		a := decided[l.Key]
		if r.State == "open" && a != nil || r.State == "decided" && a == nil || r.Owner != "" && l.Owner != r.Owner {
			continue
		}
		if r.Total++; r.Total > r.From && len(r.Shown) < lineRows {
			r.Shown = append(r.Shown, &reviewLine{l, a})
		}
	}
	if r.From > 0 {
		r.Before = page(max(r.From-lineRows, 0))
	}
	if r.From+len(r.Shown) < r.Total {
		r.After = page(r.From + lineRows)
	}
}

// actOnReview decides about lines, or closes the review.
func actOnReview(q *request) (*view, error) {
	verb := q.PostFormValue("verb")
	if !slices.Contains([]string{"certify", "revoke", "except", "close"}, verb) {
		return nil, &api.Problem{Status: http.StatusUnprocessableEntity, Detail: "say what is to be done: choose certify, revoke or except"}
	}
	body := map[string]any{"reason": strings.TrimSpace(q.PostFormValue("reason"))}
	if verb != "close" {
		if body["lines"] = q.PostForm["line"]; len(q.PostForm["line"]) == 0 {
			return nil, &api.Problem{Status: http.StatusUnprocessableEntity, Detail: "no line is chosen"}
		}
	}
	if verb == "except" {
		until := q.PostFormValue("until")
		if until == "" {
			return nil, &api.Problem{Status: http.StatusUnprocessableEntity, Detail: "say until when the lines may stand"}
		}
		body["until"] = until + "T23:59:59Z"
	}
	path := "/reviews/" + url.PathEscape(q.PathValue("review"))
	header := http.Header{"Idempotency-Key": {q.PostFormValue("once") + "/" + verb}}
	if err := q.do(http.MethodPost, path+"/"+verb, header, body, nil); err != nil {
		return nil, err
	}
	return &view{to: back(q, path, verb)}, nil
}
