package console

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/worklist"
)

// findingsView is the worklist.
type findingsView struct {
	Rule, Status, Severity, Assignee, Identity, Chain, By string
	Statuses                                              []string
	Severities                                            []string
	Findings                                              []*findingRow
	Groups                                                []*worklist.Group
	Cut                                                   []string
	MayHandle                                             bool
	Once                                                  string // makes what is done here the same act when it is sent twice
	Narrowed                                              bool
}

// findingRow is a finding and what can be done about it.
type findingRow struct {
	*worklist.Finding
	May []verb
}

const findingRows = 100

func findings(q *request) (*view, error) {
	v := q.URL.Query()
	f := &findingsView{
		Rule: v.Get("rule"), Status: v.Get("status"), Severity: v.Get("severity"), Assignee: v.Get("assignee"), Identity: v.Get("identity"), Chain: v.Get("chain"), By: v.Get("by"),
		Statuses: worklist.Statuses, MayHandle: q.who.May(string(api.HandleFindings)), Once: rand.Text(),
	}
	if f.Status == "" {
		f.Status = worklist.Active
	}
	for _, s := range slices.Backward(detect.Severities) {
		f.Severities = append(f.Severities, string(s))
	}
	f.Narrowed = f.Rule+f.Severity+f.Assignee+f.Identity+f.Chain != "" || f.Status != worklist.Active
	asked := []string{"rule", f.Rule, "status", f.Status, "severity", f.Severity, "assignee", f.Assignee, "identity", f.Identity, "chain", f.Chain, "limit", strconv.Itoa(min(findingRows, q.who.Limits.Rows))}
	out := &view{name: "findings", title: "Findings", scripts: []string{"findings.js"}, data: f}
	if f.By != "" {
		var answer struct {
			Groups []*worklist.Group
			Cut    []string
		}
		err := q.get("/findings/groups", &answer, append(asked, "by", f.By)...)
		f.Groups, f.Cut = answer.Groups, answer.Cut
		return out, err
	}
	var answer struct {
		Findings []*worklist.Finding
		Cut      []string
	}
	err := q.get("/findings", &answer, asked...)
	f.Cut = answer.Cut
	for _, x := range answer.Findings {
		f.Findings = append(f.Findings, &findingRow{x, verbsFor(q, x)})
	}
	return out, err
}

// findingView is one finding.
type findingView struct {
	*worklist.Finding
	History []*worklist.Entry
	Rule    *detect.Rule // nil when it is none of those that come with Custody
	May     []verb
	Once    string
	Chain   string // link
	Events  string // link to all its evidence
}

func finding(q *request) (*view, error) {
	var answer struct {
		Finding *worklist.Finding
		History []*worklist.Entry
	}
	if err := q.get("/findings/"+url.PathEscape(q.PathValue("key")), &answer); err != nil {
		return nil, err
	}
	f := &findingView{Finding: answer.Finding, History: answer.History, Rule: ruleOf(answer.Finding.Rule), May: verbsFor(q, answer.Finding), Once: rand.Text()}
	if q.who.May(string(api.ReadChains)) && len(f.Evidence) > 0 {
		f.Chain = link(f.Tenant, "/chain", "start", f.Evidence[0].String())
	}
	if q.who.May(string(api.ReadEvents)) && len(f.Evidence) > 0 {
		var ids []string
		for _, id := range f.Evidence[:min(len(f.Evidence), 40)] { // a filter is 2000 characters at most
			ids = append(ids, id.String())
		}
		f.Events = link(f.Tenant, "/search", "filter", "id:"+strings.Join(ids, ","))
	}
	return &view{name: "finding", title: f.Title, scripts: []string{"findings.js"}, data: f}, nil
}

// builtin are the rules that come with Custody, whose words explain findings.
var builtin = sync.OnceValue(func() map[string]*detect.Rule {
	rules, err := detect.Builtin()
	if err != nil {
		panic(err) // they are part of the program, and tested
	}
	out := map[string]*detect.Rule{}
	for _, r := range rules {
		out[r.ID] = r
	}
	return out
})

func ruleOf(id string) *detect.Rule { return builtin()[id] }

// verb is something that can be done about a finding.
type verb struct {
	Name, Title, Key string
	Reason           string // label of its text; empty: there is none
	Needed           bool   // the text is
	Assignee, Until  bool
	from             []string // statuses in which it makes sense
}

var verbs = []verb{
	{Name: "acknowledge", Title: "Acknowledge", Key: "a", Reason: "Comment", from: []string{worklist.Open}},
	{Name: "assign", Title: "Assign", Key: "s", Reason: "Comment", Assignee: true, from: []string{worklist.Open, worklist.Acknowledged, worklist.Assigned}},
	{Name: "resolve", Title: "Resolve", Key: "r", Reason: "Why it is dealt with", Needed: true, from: []string{worklist.Open, worklist.Acknowledged, worklist.Assigned, worklist.Excepted}},
	{Name: "except", Title: "Except", Key: "e", Reason: "Why it is accepted", Needed: true, Until: true, from: []string{worklist.Open, worklist.Acknowledged, worklist.Assigned, worklist.Resolved, worklist.Excepted}},
	{Name: "reopen", Title: "Reopen", Key: "o", Reason: "Why it is to be looked at again", Needed: true, from: []string{worklist.Resolved, worklist.Excepted}},
	{Name: "comment", Title: "Comment", Key: "c", Reason: "Comment", Needed: true, from: []string{worklist.Open, worklist.Acknowledged, worklist.Assigned, worklist.Resolved, worklist.AutoResolved, worklist.Excepted}},
}

// verbsFor are what the caller may do about a finding as it stands; the API decides.
func verbsFor(q *request, f *worklist.Finding) []verb {
	if !q.who.May(string(api.HandleFindings)) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(verbs), func(v verb) bool { return !slices.Contains(v.from, f.Status) })
}

// actedView says what became of several findings when some were refused.
type actedView struct {
	Verb    string
	Done    int
	Refused []refused
	Back    string
}

// refused is a finding as it stands now, and why nothing was done about it.
type refused struct {
	Key     string
	Why     *trouble
	Finding *worklist.Finding // nil: it cannot be seen
}

// actOnFindings does one thing about one finding or several. Each is named as
// KEY:REVISION, so that what somebody else did meanwhile is not overwritten. One that
// is refused does not keep the others from it.
func actOnFindings(q *request) (*view, error) {
	at := slices.IndexFunc(verbs, func(v verb) bool { return v.Name == q.PostFormValue("verb") })
	if at < 0 {
		return nil, &api.Problem{Status: http.StatusUnprocessableEntity, Detail: "say what is to be done: choose an action"}
	}
	v, keys := verbs[at], q.PostForm["key"]
	if len(keys) == 0 {
		return nil, &api.Problem{Status: http.StatusUnprocessableEntity, Detail: "no finding is chosen"}
	}
	body, err := v.body(q)
	if err != nil {
		return nil, err
	}
	acted := &actedView{Verb: v.Title, Back: back(q, "/findings", "")}
	for _, named := range keys {
		key, revision, _ := strings.Cut(named, ":")
		err := v.act(q, key, revision, body)
		switch {
		case err == nil:
			acted.Done++
		case len(keys) == 1 || status(err) == http.StatusUnauthorized || q.Context().Err() != nil:
			return nil, err
		default:
			acted.Refused = append(acted.Refused, refused{Key: key, Why: troubleOf(err)})
		}
	}
	if len(acted.Refused) == 0 {
		return &view{to: back(q, "/findings", v.Name)}, nil
	}
	acted.look(q)
	return &view{name: "acted", title: "Some were refused", data: acted}, nil
}

// act asks for it about one finding.
func (v *verb) act(q *request, key, revision string, body map[string]string) error {
	header := http.Header{}
	if revision != "" {
		header.Set("If-Match", `"`+revision+`"`)
	}
	if once := q.PostFormValue("once"); once != "" {
		header.Set("Idempotency-Key", once+"/"+v.Name)
	}
	return q.do(http.MethodPost, "/findings/"+url.PathEscape(key)+"/"+v.Name, header, body, nil)
}

// maxLooked bounds the refused findings of which the page says how they stand.
const maxLooked = 25

// look finds out how those that were refused stand now: who was faster did something.
func (a *actedView) look(q *request) {
	for i := range a.Refused[:min(len(a.Refused), maxLooked)] {
		var answer struct{ Finding *worklist.Finding }
		if err := q.get("/findings/"+url.PathEscape(a.Refused[i].Key), &answer); err == nil {
			a.Refused[i].Finding = answer.Finding
		}
	}
}

// body is what the API wants for the verb.
func (v *verb) body(q *request) (map[string]string, error) {
	body := map[string]string{}
	text := strings.TrimSpace(q.PostFormValue("reason"))
	name := "comment"
	if v.Needed && v.Name != "comment" {
		name = "reason"
	}
	if text != "" || v.Needed {
		body[name] = text
	}
	if v.Needed && text == "" {
		return nil, &api.Problem{Status: http.StatusUnprocessableEntity, Detail: v.Title + ": write why"}
	}
	if v.Assignee {
		body["assignee"] = strings.TrimSpace(q.PostFormValue("assignee"))
	}
	if v.Until {
		until := q.PostFormValue("until")
		if until == "" {
			return nil, &api.Problem{Status: http.StatusUnprocessableEntity, Detail: v.Title + ": say until when"}
		}
		body["until"] = until + "T23:59:59Z"
	}
	return body, nil
}

// back is where a form was, with a word of what was done.
func back(q *request, other, did string) string {
	u, err := url.Parse(q.PostFormValue("back"))
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, other) {
		u = &url.URL{Path: other}
	}
	v := u.Query()
	v.Del("done")
	if did != "" {
		v.Set("done", did)
	}
	if q.tenant != "" && !v.Has("tenant") {
		v.Set("tenant", q.tenant)
	}
	u.RawQuery = v.Encode()
	return u.String()
}
