package console_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// A chain says who did it, on whose behalf and who allowed it, to those who may read
// chains of the tenant, and the look at it is recorded.
func TestChainPage(t *testing.T) {
	t.Parallel()
	s := open(t)
	call := story.Named("deploy-call")
	path := "/chain?start=" + call.ID
	analyst := s.visit("analyst@acme")
	s.book.taken()
	page := analyst.page(path)
	for _, want := range []string{"Who did it", "github-mcp", "alice", "through", "planner", "deploy_service at deploy-mcp", "by <bdi>opa</bdi>", "every step is joined", `<svg xmlns`, "/events/" + call.ID, "format=mermaid", "/chain/drawing.svg?start="} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "Proof bundle") {
		t.Error("an analyst, who may take nothing away, is offered a bundle")
	}
	if read := s.book.taken(); len(read) != 1 || read[0].Decision.Action != "get-chain" || read[0].Attributes["query.start"] != call.ID || read[0].Subject.Sub != "analyst-acme" {
		t.Errorf("recorded: %v", read)
	}
	if page := s.visit("responder@acme").page(path); !strings.Contains(page, "Proof bundle") {
		t.Error("a responder is offered no bundle")
	}
	for caller, want := range map[string]int{"reviewer@acme": http.StatusForbidden, "analyst@globex": http.StatusNotFound, "": http.StatusSeeOther} {
		if a := s.visit(caller).get(path); a.status != want || strings.Contains(a.body, "deploy_service") {
			t.Errorf("%q: %d, want %d", caller, a.status, want)
		}
	}
	if page := analyst.page("/chain"); !strings.Contains(page, "custody token-ref") || strings.Count(page, `<a href="/chain?start=`) != 5 {
		t.Error("without a start it does not say what to do")
	}
	if a := analyst.get("/chain?start=nonsense"); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a start of no form: %d", a.status)
	}
	if page := analyst.page(path + "&at=1"); !strings.Contains(page, " later ") || strings.Contains(analyst.page(path), " later ") {
		t.Error("the time does not show what was not yet")
	}
}

// The drawing in a file is well-formed, needs nothing else, and is not shown as a
// page of the site.
func TestDrawingFile(t *testing.T) {
	t.Parallel()
	s := open(t, hostileEvents()...)
	v := s.visit("admin")
	for _, start := range append([]string{story.Named("deploy-call").ID}, idsOf(hostileEvents())...) {
		a := v.get("/chain/drawing.svg?start=" + start)
		if a.status != 200 || a.header.Get("Content-Type") != "image/svg+xml" || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") {
			t.Fatalf("%s: %d %v", start, a.status, a.header)
		}
		d := xml.NewDecoder(strings.NewReader(a.body))
		styles := 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v in %.500s", start, err, a.body)
			}
			if e, ok := token.(xml.StartElement); ok {
				switch e.Name.Local {
				case "style":
					styles++
				case "svg", "path", "g", "rect", "text", "tspan", "title":
				default:
					t.Errorf("%s: an element %s", start, e.Name.Local)
				}
			}
		}
		if styles != 1 || strings.Contains(a.body, "href") {
			t.Errorf("%s: %d styles", start, styles)
		}
	}
}

func idsOf(events []*event.Event) (ids []string) {
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

// What events say stands in these pages as text, whatever it looks like.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	events := hostileEvents()
	s := open(t, events...)
	v := s.visit("admin")
	paths := []string{"/identities?tenant=evil", "/identities?tenant=evil&begins=" + url.QueryEscape(hostile[0]), "/integrity?tenant=evil"}
	for _, e := range events {
		paths = append(paths, "/chain?tenant=evil&start="+e.ID)
		if len(e.Actor.Sub) < 500 && !strings.ContainsRune(e.Actor.Sub, 0) {
			paths = append(paths, "/identities/"+url.PathEscape(e.Actor.Sub)+"?tenant=evil", "/identities/servers/"+url.PathEscape(e.Server.ID)+"?tenant=evil")
		}
	}
	for _, path := range paths {
		a := v.get(path)
		if a.status != 200 {
			t.Errorf("%.100s: %d %.300s", path, a.status, a.body)
		}
		for _, never := range []string{"<script>document", "<img src=x", "\x00", "\x1b", "\u202e", "\u2066"} {
			if strings.Contains(a.body, never) {
				t.Errorf("%.100s: the page has %q as it came", path, never)
			}
		}
	}
}

// fanOut are n exchanges of one delegation of tenant deep, each token exchanged for
// three others, and a call with every one of them; start is the first token.
func fanOut(n int) (events []*event.Event, start string) {
	ref := func(i int) string { return event.TokenRef(fmt.Sprint("token ", i)) }
	at := time.Now().Add(-time.Hour)
	add := func(e *event.Event, name string, i int) {
		e.Tenant, e.Source.EventID, e.Salt = "deep", fmt.Sprint(name, i), event.NewSalt()
		e.Time = event.TimeOf(at.Add(time.Duration(i) * time.Second))
		e.ObservedTime = e.Time
		e.Correlation = event.Correlation{}
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		events = append(events, e)
	}
	for i := 1; i <= n; i++ {
		x := story.Named("exchange-deploy")
		x.Exchange.SubjectTokenRef, x.Exchange.IssuedTokenRef, x.Exchange.ActorTokenRef = ref((i-1)/3), ref(i), ""
		x.Token, x.Chain = event.Token{Ref: ref((i - 1) / 3)}, nil
		x.Actor = event.Party{Iss: x.Subject.Iss, Sub: fmt.Sprint("agent-", i), Type: event.Agent}
		add(x, "exchange-", i)
		c := story.Named("deploy-call")
		c.Token, c.Actor, c.Chain = event.Token{Ref: ref(i)}, x.Actor, nil
		add(c, "call-", i)
	}
	return events, ref(0)
}

// A delegation of 200 hops is one page, whole when it is asked for.
func TestManyHops(t *testing.T) {
	t.Parallel()
	events, start := fanOut(200)
	s := open(t, events...)
	v := s.visit("admin")
	began := time.Now()
	page := v.page("/chain?tenant=deep&open=all&start=" + start)
	t.Logf("200 hops: %d bytes in %v", len(page), time.Since(began).Round(time.Millisecond))
	if n := strings.Count(page, `class="agent hop node`); n != 200 {
		t.Errorf("%d boxes of agents, want 200", n)
	}
	if page := v.page("/chain?tenant=deep&start=" + start); !strings.Contains(page, "201 tokens, 200 calls") {
		t.Error("folded, it does not say how many there are")
	}
}
