package console_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// TestConsole is one story in one database, told to several kinds of visitors.
func TestConsole(t *testing.T) {
	t.Parallel()
	s := open(t, hostileEvents()...)
	for name, test := range map[string]func(*site, *testing.T){
		"headers": testHeaders, "login": testLogin, "roles": testRoles, "tenants": testTenants, "search": testSearch, "event": testEvent,
		"hostile": testHostile, "triage": testTriage, "bulk": testBulk, "review": testReview, "source": testSource, "other sites": testOtherSites, "arrivals": testArrivals, "saved": testSaved,
	} {
		t.Run(name, func(t *testing.T) {
			of := *s
			of.TB = t
			test(&of, t)
		})
	}
}

// seen are pages that every role but the reviewer may see.
var seen = []string{"/", "/search", "/search?filter=kind:tool_invocation", "/search/bars", "/findings", "/findings?by=identity&status=all", "/findings?by=chain", "/reviews", "/sources"}

func testHeaders(s *site, t *testing.T) {
	admin := s.visit("analyst@globex") // the pages of evil have such texts in them, as texts
	for _, path := range append(seen, "/login", "/nowhere", "/events/"+story.Named("refund-call").ID) {
		a := admin.get(path)
		policy := a.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %q", path, policy, want)
			}
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		// What the policy forbids is not there, or it would be broken silently.
		for _, inline := range []string{" style=", " onclick=", " onerror=", "<style", "<script>", "javascript:"} {
			if strings.Contains(a.body, inline) {
				t.Errorf("%s has %q in it", path, inline)
			}
		}
	}
	for _, asset := range regexp.MustCompile(`/assets/[^"]+`).FindAllString(admin.page("/search"), -1) {
		a := s.visit("").get(asset)
		if a.status != 200 || a.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || a.header.Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", asset, a.status, a.header)
		}
	}
	if a := s.visit("").get("/assets/console.0000000000000000.js"); a.status != 404 {
		t.Errorf("an asset of another version: %d", a.status)
	}
}

func testLogin(s *site, t *testing.T) {
	nobody := s.visit("")
	for _, path := range append(seen[1:], "/events/"+story.Named("refund-call").ID) {
		a := nobody.get(path)
		if a.status != 303 || !strings.HasPrefix(a.header.Get("Location"), "/login?return=") || strings.Contains(a.body, "refund") {
			t.Errorf("%s: %d to %q", path, a.status, a.header.Get("Location"))
		}
	}
	if page := nobody.page("/login"); !strings.Contains(page, "custody console link") {
		t.Errorf("the login says nothing of links: %s", page)
	}
	link := strings.TrimPrefix(s.link("analyst@acme"), s.url)
	first, second := s.visit(""), s.visit("")
	a := first.get(link)
	cookie := a.header.Get("Set-Cookie")
	if a.status != 303 || !strings.HasPrefix(cookie, "custody-session-") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Errorf("the link: %d, cookie %q", a.status, cookie)
	}
	if a := second.get(link); a.status != 410 || !strings.Contains(a.body, "works no longer") || a.header.Get("Set-Cookie") != "" {
		t.Errorf("the same link again: %d %s", a.status, a.body)
	}
	if page := first.page("/"); !strings.Contains(page, "analyst-acme") {
		t.Errorf("the page does not say who is logged in: %s", page)
	}
	if a := first.post("/logout", url.Values{}); a.status != 303 || a.header.Get("Location") != "/login" {
		t.Errorf("logout: %d to %q", a.status, a.header.Get("Location"))
	}
	if a := first.get("/"); a.status != 303 {
		t.Errorf("after the logout: %d", a.status)
	}
}

func testRoles(s *site, t *testing.T) {
	// Each page, for each role: there, or refused by name; and in the navigation where it is there.
	finding, call := firstFinding(s, "admin"), story.Named("deploy-call").ID
	all := []string{"admin", "analyst@acme", "responder@acme", "auditor@acme", "reviewer@acme"}
	for path, may := range map[string][]string{
		"/": all, "/reviews": all, "/search": all[:4], "/search/bars": all[:4], "/events/" + call: all[:4], "/chain": all[:4], "/chain?start=" + call: all[:4], "/chain/drawing.svg?start=" + call: all[:4],
		"/identities": all[:4], "/identities/planner?days=3650": all[:4], "/identities/servers/github-mcp?days=3650": all[:4], "/findings": all[:4], "/findings/" + finding.Key: all[:4], "/integrity": all[:4], "/sources": all[:4],
	} {
		for _, who := range all {
			v := s.visit(who)
			a := v.get(path + map[bool]string{true: map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "tenant=acme"}[who == "admin"])
			switch allowed := slices.Contains(may, who); {
			case allowed && a.status != 200:
				t.Errorf("%s for %s: %d", path, who, a.status)
			case !allowed && (a.status != 403 || !strings.Contains(a.body, "The roles that may")):
				t.Errorf("%s for %s: %d, want a refusal that says who may", path, who, a.status)
			}
			if offered := strings.Contains(v.page("/"), `<a href="`+path+`?tenant=acme"`); offered && !slices.Contains(may, who) {
				t.Errorf("%s is offered %s", who, path)
			}
		}
	}
	reviewer := s.visit("reviewer@acme")
	home := reviewer.page("/")
	for _, name := range []string{"Search", "Findings"} {
		if strings.Contains(home, ">"+name+"</a>") {
			t.Errorf("a reviewer is offered %s", name)
		}
	}
	for path, role := range map[string]string{"/search": "auditor", "/findings": "responder", "/events/" + story.Named("refund-call").ID: "analyst"} {
		a := reviewer.get(path)
		if a.status != 403 || !strings.Contains(a.body, "The roles that may") || !strings.Contains(a.body, role) || strings.Contains(a.body, "refund-call") {
			t.Errorf("%s for a reviewer: %d %s", path, a.status, a.body)
		}
	}
	if a := reviewer.do("POST", "/integrity/verify", url.Values{}, http.Header{"Sec-Fetch-Site": {"same-origin"}}); a.status != 403 || !strings.Contains(a.body, "The roles that may") {
		t.Errorf("a reviewer has a bundle verified: %d %s", a.status, a.body)
	}
	// An auditor sees findings, and is offered nothing to do about them.
	auditor := s.visit("auditor@acme")
	if page := auditor.page("/findings?status=all"); strings.Contains(page, "With those chosen") {
		t.Error("an auditor is offered to handle findings")
	}
	f := firstFinding(s, "admin")
	if a := auditor.post("/findings", url.Values{"verb": {"acknowledge"}, "key": {f.Key}}); a.status != 403 {
		t.Errorf("an auditor handles a finding: %d", a.status)
	}
	// Only who may take evidence away is offered to.
	if strings.Contains(s.visit("analyst@acme").page("/search"), "/api/v1/export") || !strings.Contains(auditor.page("/search"), "/api/v1/export") {
		t.Error("the export is offered to the wrong ones")
	}
}

func testTenants(s *site, t *testing.T) {
	foreign := story.Named("refund-call") // of globex
	acme := s.visit("analyst@acme")
	for _, path := range []string{"/search?tenant=globex", "/findings?tenant=globex", "/events/" + foreign.ID + "?tenant=globex"} {
		if a := acme.get(path); a.status != 403 || strings.Contains(a.body, foreign.Subject.Sub) {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := acme.get("/events/" + foreign.ID); a.status != 404 {
		t.Errorf("an event of globex: %d", a.status)
	}
	for _, path := range seen {
		if page := acme.page(path); strings.Contains(page, "globex") || strings.Contains(page, "initech") {
			t.Errorf("%s tells acme of others", path)
		}
	}
	// Who sees all may narrow, and the links keep it.
	page := s.visit("admin").page("/findings?tenant=globex&status=all")
	if !strings.Contains(page, "globex") || strings.Contains(page, "initech") || !strings.Contains(page, "/search?tenant=globex") {
		t.Error("narrowing to globex")
	}
}

func testSearch(s *site, t *testing.T) {
	analyst := s.visit("analyst@globex")
	s.book.taken()
	page := analyst.page("/search?filter=" + url.QueryEscape("tool:* kind:tool_invocation"))
	bars := html.UnescapeString(regexp.MustCompile(`href="(/search/bars[^"]+)"`).FindStringSubmatch(page + `href="/search/bars?"`)[1])
	for _, want := range []string{"/events/", `name="filter"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the search lacks %q", want)
		}
	}
	if over := analyst.page(bars); !strings.Contains(over, "<svg") || !strings.Contains(html.UnescapeString(over), "tool%3A%2A+kind%3Atool_invocation+after%3A") {
		t.Errorf("%s has no bars that lead to a search: %s", bars, over)
	}
	asked := map[string]string{}
	for _, e := range s.book.taken() {
		asked[e.Decision.Action] = e.Subject.Sub
	}
	if asked["search-events"] != "analyst-globex" || asked["count-events"] != "analyst-globex" {
		t.Errorf("recorded: %v", asked)
	}
	if page := s.visit("admin").page("/search?tenant=acme"); !strings.Contains(page, "filter=-source%3Acustody") {
		t.Error("what Custody recorded of itself cannot be left out")
	}
	if page := analyst.page("/search?column=tool&column=scope"); !strings.Contains(page, `<th scope="col">scope</th>`) || strings.Contains(page, `<th scope="col">actor</th>`) {
		t.Error("the chosen columns are not those that stand there")
	}
	wrong := analyst.page("/search?filter=nothing:x")
	if !strings.Contains(wrong, "is unknown") || !strings.Contains(wrong, `value="nothing:x"`) {
		t.Errorf("a wrong filter: %s", wrong)
	}
	if none := analyst.page("/search?filter=tool:nothing"); !strings.Contains(none, "No event passes") || strings.Contains(none, "/search/bars") {
		t.Error("an empty answer says nothing")
	}
}

func testEvent(s *site, t *testing.T) {
	e := story.Named("refund-call")
	page := s.visit("analyst@globex").page("/events/" + e.ID)
	for _, want := range []string{e.Tool.Name, "sealed", "leaf hash", "offset", "How the call is judged", html.EscapeString(`"subject"`)} {
		if !strings.Contains(page, want) {
			t.Errorf("the event lacks %q", want)
		}
	}
	if a := s.visit("analyst@globex").get("/events/nothing"); a.status != 422 {
		t.Errorf("no id: %d", a.status)
	}
}

// Every page over events that others made to deceive shows them as text.
func testHostile(s *site, t *testing.T) {
	admin := s.visit("admin")
	paths := []string{"/search?tenant=evil&column=tool&column=actor&column=client", "/search/bars?tenant=evil", "/chain?tenant=evil", "/identities?tenant=evil", "/sources?tenant=evil", "/reviews?tenant=evil", "/integrity?tenant=evil", "/findings?tenant=evil&status=all", "/findings?tenant=evil&by=identity&status=all", "/?tenant=evil"}
	for _, e := range hostileEvents() {
		paths = append(paths, "/events/"+e.ID+"?tenant=evil", "/chain?tenant=evil&start="+e.ID, "/identities/"+url.PathEscape(e.Actor.Sub)+"?tenant=evil", "/identities/servers/"+url.PathEscape(e.Server.ID)+"?tenant=evil")
	}
	var found struct{ Findings []*worklist.Finding }
	if err := json.Unmarshal([]byte(admin.page("/api/v1/findings?tenant=evil&status=all&limit=1000")), &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Findings) == 0 {
		t.Error("nothing is found of the hostile events: the pages of findings are not tried")
	}
	for _, f := range found.Findings[:min(len(found.Findings), 20)] {
		paths = append(paths, "/findings/"+f.Key+"?tenant=evil")
	}
	texts := 0
	for _, path := range paths {
		a := admin.get(path)
		if a.status == 404 && strings.HasPrefix(path, "/events/") {
			t.Errorf("%s: the times of its id are not those of the test", path)
			continue
		}
		if a.status != 200 {
			t.Errorf("%s: %d", path, a.status)
		}
		for _, raw := range []string{"<script>document", "<img src=x", "\u202e", "\u2066", "\x00", "\x1b"} {
			if strings.Contains(a.body, raw) {
				t.Errorf("%s has %q as it came", path, raw)
			}
		}
		texts += strings.Count(a.body, "&lt;script&gt;")
	}
	if texts == 0 {
		t.Error("no page shows the hostile text, so this test shows nothing")
	}
	// In what is typed, too.
	for _, text := range hostile {
		a := admin.get("/search?filter=" + url.QueryEscape(text))
		if strings.Contains(a.body, "<script>document") || strings.Contains(a.body, "<img src=x") {
			t.Errorf("the filter %q stands there as it came", text)
		}
	}
}

func firstFinding(s *site, caller string) *worklist.Finding {
	s.Helper()
	var found struct{ Findings []*worklist.Finding }
	if err := json.Unmarshal([]byte(s.visit(caller).page("/api/v1/findings?tenant=acme&status=all&limit=100")), &found); err != nil {
		s.Fatal(err)
	}
	if len(found.Findings) == 0 {
		s.Fatal("the story has no finding of acme")
	}
	return found.Findings[0]
}

func testTriage(s *site, t *testing.T) {
	responder := s.visit("responder@acme")
	f := firstFinding(s, "responder@acme")
	named := f.Key + ":" + f.Revision
	s.book.taken()
	if a := responder.post("/findings", url.Values{"verb": {"resolve"}, "key": {named}}); a.status != 422 || !strings.Contains(a.body, "write why") {
		t.Errorf("resolved without a reason: %d", a.status)
	}
	form := url.Values{"verb": {"assign"}, "key": {named}, "assignee": {"team <b>"}, "once": {"x"}, "back": {"/findings/" + f.Key}}
	a := responder.post("/findings", form)
	if a.status != 303 || !strings.HasPrefix(a.header.Get("Location"), "/findings/"+f.Key) {
		t.Fatalf("assign: %d to %q: %s", a.status, a.header.Get("Location"), a.body)
	}
	page := responder.page(a.header.Get("Location"))
	for _, want := range []string{"Assigned.", "team &lt;b&gt;", "responder-acme", "How to respond"} {
		if !strings.Contains(page, want) {
			t.Errorf("the finding lacks %q after it was assigned", want)
		}
	}
	changed := 0
	for _, e := range s.book.taken() {
		if e.Type == api.TypeChange && e.Outcome == event.Success && e.Attributes["assignee"] == "team <b>" {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d records of the act", changed)
	}
	// Who saw it before that is told, and changes nothing.
	if a := responder.post("/findings", url.Values{"verb": {"acknowledge"}, "key": {named}}); a.status != 412 || !strings.Contains(a.body, "Somebody else was faster") {
		t.Errorf("an act on what has changed: %d", a.status)
	}
	if a := responder.post("/findings", url.Values{"verb": {"except"}, "key": {f.Key}, "reason": {"until the migration"}, "until": {"2000-01-01"}}); a.status != 422 {
		t.Errorf("an exception in the past: %d", a.status)
	}
	if a := responder.post("/findings", url.Values{"verb": {"comment"}, "key": {f.Key}, "reason": {"seen"}, "back": {"https://elsewhere.example/findings"}}); a.status != 303 || !strings.HasPrefix(a.header.Get("Location"), "/findings?") {
		t.Errorf("back to elsewhere: %d %q", a.status, a.header.Get("Location"))
	}
}

// Of several findings one that is refused does not keep the others from what is done, and
// the page says which and why.
func testBulk(s *site, t *testing.T) {
	analyst := s.visit("analyst@globex")
	var found struct{ Findings []*worklist.Finding }
	if err := json.Unmarshal([]byte(analyst.page("/api/v1/findings?status=open&limit=100")), &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Findings) < 3 {
		t.Fatalf("%d open findings of globex, want three", len(found.Findings))
	}
	three := found.Findings[:3]
	if a := analyst.post("/findings", url.Values{"verb": {"comment"}, "key": {three[1].Key}, "reason": {"somebody was faster"}}); a.status != 303 {
		t.Fatalf("comment: %d", a.status)
	}
	form := url.Values{"verb": {"acknowledge"}, "once": {"bulk"}, "back": {"/findings?status=open"}}
	for _, f := range three {
		form.Add("key", f.Key+":"+f.Revision)
	}
	for range 2 { // sent twice it is one act, and says the same
		a := analyst.post("/findings", form)
		for _, want := range []string{"done for 2, refused for 1", "Somebody else was faster", "/findings/" + three[1].Key, html.EscapeString(three[1].Title), `href="/findings?status=open&amp;tenant=globex"`} {
			if a.status != 200 || !strings.Contains(a.body, want) {
				t.Errorf("%d, the page does not say %q: %s", a.status, want, a.body)
			}
		}
		if strings.Contains(a.body, "/findings/"+three[0].Key) || strings.Contains(a.body, "/findings/"+three[2].Key) {
			t.Error("what was done stands among what was refused")
		}
	}
	for i, want := range []string{worklist.Acknowledged, worklist.Open, worklist.Acknowledged} {
		var now struct{ Finding *worklist.Finding }
		if err := json.Unmarshal([]byte(analyst.page("/api/v1/findings/"+three[i].Key)), &now); err != nil || now.Finding.Status != want {
			t.Errorf("finding %d stands as %v, want %s (%v)", i, now.Finding, want, err)
		}
	}
	// Who may do nothing is told so, once.
	form.Set("once", "other")
	if a := s.visit("auditor@acme").post("/findings", form); a.status != 200 || !strings.Contains(a.body, "refused for all 3") {
		t.Errorf("an auditor: %d %s", a.status, a.body)
	}
}

func testOtherSites(s *site, t *testing.T) {
	admin := s.visit("admin")
	f := firstFinding(s, "admin")
	form := url.Values{"verb": {"comment"}, "key": {f.Key}, "reason": {"xyzzy of another site"}}
	for name, header := range map[string]http.Header{
		"another site": {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}, "the same site": {"Sec-Fetch-Site": {"same-site"}, "Origin": {"http://127.0.0.1:1"}},
		"an old browser": {"Origin": {"https://evil.example"}}, "silence": {},
	} {
		for path, form := range map[string]url.Values{"/findings": form, "/search/saved": {"name": {"x"}, "filter": {"kind:grant"}}, "/logout": {}} {
			if a := admin.do("POST", path, form, header); a.status != 403 {
				t.Errorf("%s, %s: %d", name, path, a.status)
			}
		}
	}
	if page := admin.page("/findings/" + f.Key); strings.Contains(page, "xyzzy") {
		t.Error("what another site sent has an effect")
	}
	if a := admin.get("/"); a.status != 200 {
		t.Errorf("another site logs out: %d", a.status)
	}
}

// A page of another site can send somebody here, and not read in their name: nothing is
// asked before they say that it was meant. What it embeds reads nothing at all.
func testArrivals(s *site, t *testing.T) {
	admin := s.visit("admin")
	event := "/events/" + story.Named("refund-call").ID
	s.book.taken()
	for _, site := range []string{"cross-site", "same-site"} {
		for _, header := range []http.Header{{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-User": {"?1"}}, {"Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}}} {
			header["Sec-Fetch-Site"] = []string{site}
			for _, path := range []string{event, "/", "/search?filter=" + url.QueryEscape(hostile[0]), "/chain/drawing.svg?start=" + story.Named("refund-call").ID} {
				a := admin.do("GET", path, nil, header)
				if a.status != 200 || !strings.Contains(a.body, `href="`+html.EscapeString(path)+`"`) || strings.Contains(a.body, "refund") || strings.Contains(a.body, "<script>document") {
					t.Errorf("%s from %s: %d %s", path, site, a.status, a.body)
				}
			}
			if a := admin.do("GET", "/api/v1/export?format=csv", nil, header); a.status != 403 || strings.Contains(a.body, "refund") {
				t.Errorf("an export from %s: %d", site, a.status)
			}
		}
	}
	if read := s.book.taken(); len(read) != 0 {
		t.Errorf("another site reads: %v", read)
	}
	for _, site := range []string{"same-origin", "none"} {
		if a := admin.do("GET", event, nil, http.Header{"Sec-Fetch-Site": {site}}); a.status != 200 || !strings.Contains(a.body, "refund") {
			t.Errorf("from %s: %d", site, a.status)
		}
	}
	if a := s.visit("").do("GET", "/auth/login?return="+event, nil, http.Header{"Sec-Fetch-Site": {"cross-site"}}); a.status != 303 || a.header.Get("Location") != "/login?return="+url.QueryEscape(event) {
		t.Errorf("a login that another site begins: %d to %q", a.status, a.header.Get("Location"))
	}
}

func testSaved(s *site, t *testing.T) {
	analyst := s.visit("analyst@acme")
	a := analyst.post("/search/saved", url.Values{"name": {"denied"}, "filter": {"outcome:denied"}})
	if a.status != 303 || !strings.Contains(a.header.Get("Location"), "%40denied") {
		t.Fatalf("%d %q %s", a.status, a.header.Get("Location"), a.body)
	}
	if page := analyst.page(a.header.Get("Location")); !strings.Contains(page, "outcome:denied") || !strings.Contains(page, "Saved.") {
		t.Error("the saved filter is not there")
	}
	if page := s.visit("analyst@globex").page("/search"); strings.Contains(page, "outcome:denied</") {
		t.Error("globex sees the filter of acme")
	}
	if a := analyst.post("/search/saved", url.Values{"name": {"denied"}, "remove": {"yes"}}); a.status != 303 {
		t.Errorf("remove: %d", a.status)
	}
	if a := analyst.post("/search/saved", url.Values{"name": {"../x"}, "filter": {"outcome:denied"}}); a.status != 422 && a.status != 404 {
		t.Errorf("a path as a name: %d", a.status)
	}
	if a := analyst.post("/search/saved", url.Values{"name": {".."}, "filter": {"outcome:denied"}}); a.status < 400 {
		t.Errorf("%d for a name that the API redirects: nothing was saved", a.status)
	}
}

func testReview(s *site, t *testing.T) {
	admin, reviewer := s.visit("admin"), s.visit("reviewer@acme")
	a := admin.post("/reviews?tenant=acme", url.Values{"name": {"Autumn <i>"}, "once": {"r"}})
	if a.status != 303 || !strings.HasPrefix(a.header.Get("Location"), "/reviews/") {
		t.Fatalf("begin: %d %s", a.status, a.body)
	}
	at := a.header.Get("Location")
	page := admin.page(at)
	lines := regexp.MustCompile(`name="line" value="([0-9a-f]+)"`).FindAllStringSubmatch(page, -1)
	if len(lines) < 2 || !strings.Contains(page, "Autumn &lt;i&gt;") || !strings.Contains(page, "Close the review") {
		t.Fatalf("a review of %d lines: %s", len(lines), page)
	}
	path, _, _ := strings.Cut(at, "?")
	if a := admin.post(path+"?tenant=acme", url.Values{"verb": {"certify"}, "line": {lines[0][1], lines[1][1]}, "once": {"c"}}); a.status != 422 {
		t.Errorf("certified without a reason: %d", a.status)
	}
	a = admin.post(path+"?tenant=acme", url.Values{"verb": {"certify"}, "line": {lines[0][1], lines[1][1]}, "reason": {"needed"}, "once": {"c"}, "back": {at}})
	if a.status != 303 {
		t.Fatalf("certify: %d %s", a.status, a.body)
	}
	if page := admin.page(path + "?tenant=acme&state=decided"); !strings.Contains(page, "certified by <bdi>admin</bdi>") || strings.Count(page, `name="line"`) != 2 {
		t.Error("the decided lines do not stand there")
	}
	// A reviewer sees what it owns, decides about nothing else, and closes nothing.
	if page := reviewer.page(path); strings.Contains(page, "Close the review") || strings.Contains(page, lines[0][1]) {
		t.Error("a reviewer sees what is not its own")
	}
	if a := reviewer.post(path, url.Values{"verb": {"certify"}, "line": {lines[0][1]}, "reason": {"x"}, "once": {"d"}}); a.status != 403 && a.status != 404 {
		t.Errorf("a reviewer decides about a line of another: %d", a.status)
	}
	if a := reviewer.post(path, url.Values{"verb": {"close"}, "reason": {"x"}, "once": {"e"}}); a.status != 403 {
		t.Errorf("a reviewer closes: %d", a.status)
	}
	if a := s.visit("auditor@acme").get(path); a.status != 200 || !strings.Contains(a.body, "format=pdf") || strings.Contains(a.body, `name="verb"`) {
		t.Errorf("a review for an auditor: %d", a.status)
	}
	if a := admin.post(path+"?tenant=acme", url.Values{"verb": {"close"}, "reason": {"done"}, "once": {"f"}}); a.status != 303 {
		t.Errorf("close: %d %s", a.status, a.body)
	}
	if page := admin.page(path + "?tenant=acme"); !strings.Contains(page, "<strong>closed</strong>") || strings.Contains(page, `name="verb"`) {
		t.Error("a closed review can be decided")
	}
}

func testSource(s *site, t *testing.T) {
	page := s.visit("admin").page("/sources?tenant=evil&name=" + url.QueryEscape("pay'; rm -rf ~") + "&as=acme&servers=a,b")
	if want := html.EscapeString(`custody source add 'pay'\''; rm -rf ~' --tenant acme --server a --server b`); !strings.Contains(page, want) {
		t.Errorf("the command is not %s: %s", want, page)
	}
	for query, wants := range map[string][]string{
		"kind=otlp&collector=https://custody.example:4318/": {"custody source add pay --tenant acme --type otlp", "endpoint: https://custody.example:4318\n"},
		"kind=opa&collector=https://x\"%0a  evil: yes":      {"--type opa", "url: http://127.0.0.1:4318/v1/opa\n"},
		"kind=mcp-proxy&servers=files%27x":                  {"--server 'files'\\''x'", "--server-id 'files'\\''x' --collector-url http://127.0.0.1:4318"},
		"kind=kong":                                         {"custody tail --type kong ", "docs/sources/kong.md"},
		"kind=nothing":                                      {"curl http://127.0.0.1:4318/v1/events"},
	} {
		shown := html.UnescapeString(s.visit("admin").page("/sources?name=pay&as=acme&" + strings.ReplaceAll(query, " ", "+")))
		for _, want := range wants {
			if !strings.Contains(shown, want) {
				t.Errorf("%s: no %q", query, want)
			}
		}
	}
	// What was refused is there with samples, for those who may see it.
	for path, wants := range map[string]map[string]bool{
		"admin /sources":          {"tenant other&lt;script&gt;": true, "Dead letters": true, "kind: is required": true, "&lt;script&gt;document.title": true, "the first is": true, "globex": true},
		"auditor /":               {"Dead letters": true, "kind: is required": true, "Quarantine": true, "Nobody has held": true},
		"auditor /?tenant=acme":   {"Dead letters": false, "kind: is required": false, "Quarantine": true, "Nobody has held": true},
		"analyst@acme /sources":   {"tenant other&lt;script&gt;": true, "Dead letters": false, "Came again": false},
		"analyst@acme /":          {"Dead letters": false, "Quarantine": false, "Nobody has held": true},
		"responder@acme /sources": {"Dead letters": false, "the first is": true, "globex": false},
		"reviewer@acme /":         {"Dead letters": false, "Quarantine": false, "Nobody has held": false},
	} {
		who, path, _ := strings.Cut(path, " ")
		page := s.visit(who).page(path)
		for what, want := range wants {
			if strings.Contains(page, what) != want {
				t.Errorf("%s at %s: says %q: %v, want %v", who, path, what, !want, want)
			}
		}
		for _, never := range []string{"<script>document", "\u202e", "\xff"} {
			if strings.Contains(page, never) {
				t.Errorf("%s at %s: the page has %q as it came", who, path, never)
			}
		}
	}
	if !strings.Contains(page, ">heard</span>") {
		t.Error("the source of events of the last hour is not heard")
	}
}
