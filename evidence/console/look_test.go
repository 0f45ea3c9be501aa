//go:build browser

package console_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/custody-audit/custody/schemas/story"
)

// looks are the pages that are looked at: each without a serious violation of
// accessibility, no wider than the screen, and on a picture in light, dark and on a
// phone, where each is shown from its top to its end. {event}, {call}, {finding} and {review} stand for one of each.
var looks = []struct{ name, path string }{
	{"home", "/"}, {"search", "/search"}, {"bars", "/search/bars"}, {"search-none", "/search?filter=tool:nothing"}, {"search-wrong", "/search?filter=x:y"}, {"event", "/events/{event}"},
	{"findings", "/findings"}, {"findings-groups", "/findings?by=identity"}, {"finding", "/findings/{finding}"}, {"nowhere", "/nowhere"},
	{"reviews", "/reviews?tenant=acme"}, {"review", "{review}"}, {"chain", "/chain?tenant=globex&start={call}"}, {"chain-none", "/chain"}, {"chain-hostile", "/chain?tenant=evil&start={event}"},
	{"identities", "/identities?days=3650"}, {"identity", "/identities/planner?days=3650&tenant=acme"}, {"server", "/identities/servers/github-mcp?days=3650"},
	{"integrity", "/integrity"}, {"sources", "/sources?tenant=evil&name=payments-mcp&as=evil&kind=otlp"}, {"refused", "/sources"},
}

// screens are what pages are looked at on. Nothing moves, so that no colour is half of another.
var screens = []struct {
	name, scheme  string
	width, height int64
}{{"light", "light", 1440, 900}, {"dark", "dark", 1920, 1080}, {"phone", "light", 375, 812}}

func tourLooks(b *browser) {
	named := strings.NewReplacer("{event}", hostileEvents()[0].ID, "{finding}", firstFinding(b.site, "admin").Key, "{call}", story.Named("refund-call").ID, "{review}", newReview(b.site))
	for _, look := range looks {
		b.open(named.Replace(look.path))
		b.withAxe()
		for _, screen := range screens {
			name := look.name + "-" + screen.name
			_, err1 := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: screen.width, Height: screen.height, DeviceScaleFactor: 1, Mobile: screen.name == "phone"})
			_, err2 := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: screen.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
			if err := errors.Join(err1, err2); err != nil {
				b.Fatal(err)
			}
			b.picture(name, chromedp.FullScreenshot(100))
			if wide := eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
				b.Errorf("%s: %d pixels wider than the screen", name, wide)
			}
			b.accessible(name)
		}
		b.Logf("looked at %s", look.name)
	}
}

// withAxe puts axe into the page.
func (b *browser) withAxe() {
	b.Helper()
	axe, err := os.ReadFile(filepath.Join("web", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		b.Fatalf("%v: \"make test-browser\" installs it", err)
	}
	eval[chromedp.Void](b, string(axe)+"; 0")
}

// accessibleNow asks about a page that is no look: one comes to it by a walk only.
func (b *browser) accessibleNow(name string) {
	b.Helper()
	b.withAxe()
	b.accessible(name)
}

// violation is what axe finds.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct {
		Target []string
		HTML   string
		// FailureSummary says what to change.
		FailureSummary string
	}
}

// accessible asks axe, which is in the page already, about it as it is now.
func (b *browser) accessible(name string) {
	b.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run({ resultTypes: ["violations"] }).then(r => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatal(err)
	}
	var found []violation
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.Fatal(err)
	}
	for _, v := range found {
		if v.Impact != "serious" && v.Impact != "critical" {
			continue
		}
		for _, n := range v.Nodes {
			b.Errorf("%s: %s (%s) at %v: %s %.300s", name, v.Help, v.ID, n.Target, n.FailureSummary, n.HTML)
		}
	}
}
