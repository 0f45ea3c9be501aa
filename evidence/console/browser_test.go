//go:build browser

package console_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// tours are the main tasks of the pages in a real browser. What they change stays, in
// their order.
var tours = []struct {
	name string
	walk func(*browser)
}{
	{"login", tourLogin}, {"search", tourSearch}, {"findings", tourFindings}, {"hostile", tourHostile}, {"chain", tourChain}, {"identities", tourIdentities},
	{"integrity", tourIntegrity}, {"export", tourExport}, {"arrival", tourArrival}, {"bulk", tourBulk}, {"review", tourReview}, {"sources", tourSources}, {"speed", tourSpeed}, {"looks", tourLooks},
}

// TestBrowser walks through one installation in one browser.
func TestBrowser(t *testing.T) {
	far, _ := fanOut(200)
	s := open(t, append(hostileEvents(), far...)...)
	whole := chromium(t)
	for _, tour := range tours {
		t.Run(tour.name, func(t *testing.T) { tour.walk(s.browser(t, whole, "admin")) })
	}
}

// chromium starts the browser that all tabs are in.
func chromium(t testing.TB) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-background-networking", true), chromedp.WSURLReadTimeout(patience))
	root, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	whole, end := chromedp.NewContext(root)
	t.Cleanup(end)
	if err := chromedp.Do(whole); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return whole
}

// shots is where pictures of the pages are kept; empty: nowhere.
var shots = os.Getenv("CUSTODY_SCREENSHOTS")

// patience is how long a step may take that does take seconds: beside other work,
// minutes.
const patience = 4 * time.Minute

// browser is a tab of somebody who is logged in.
type browser struct {
	*site
	ctx context.Context
}

// browser opens a tab with cookies of its own.
func (s *site) browser(t testing.TB, whole context.Context, caller string) *browser {
	t.Helper()
	ctx, end := chromedp.NewContext(whole, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	t.Cleanup(cancel)
	of := *s
	of.TB = t
	b := &browser{&of, ctx}
	err := chromedp.Listen(ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("a script fails: %s", e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			if e.Type == "error" {
				t.Error("a script complains")
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.run(chromedp.Navigate(b.link(caller)))
	return b
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

func (b *browser) open(path string) {
	b.Helper()
	b.run(chromedp.Navigate(b.url+path), chromedp.WaitReady("main"))
}

// eval runs an expression and returns its value.
func eval[T any](b *browser, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// await waits until an expression is true, over as many pages as come meanwhile.
func (b *browser) await(expression string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[chromedp.Void]("!!("+expression+")"))
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			b.Fatalf("%s does not become true: %v; the page: %.2000s", expression, err, eval[string](b, "location.href + document.body?.innerText"))
		}
	}
}

func (b *browser) key(keys string) {
	b.Helper()
	b.run(chromedp.KeyEvent(keys))
}

func tourLogin(b *browser) {
	b.await(`location.pathname === "/" && document.querySelector("h1").textContent === "Home"`)
	if cookies := eval[string](b, "document.cookie"); cookies != "" {
		b.Errorf("scripts see the cookie %q", cookies)
	}
	b.await(`document.querySelector("[data-zone]").textContent !== "UTC" || Intl.DateTimeFormat().resolvedOptions().timeZone === "UTC"`)
	b.run(chromedp.Click(".bar details.menu > summary"), chromedp.Click("form[action='/logout'] button"))
	b.await(`location.pathname === "/login"`)
	b.run(chromedp.Navigate(b.url + "/search?filter=kind:grant"))
	b.await(`location.pathname === "/login" && location.search.includes("filter")`)
}

func tourSearch(b *browser) {
	b.open("/search?tenant=globex")
	rows := eval[int](b, `document.querySelectorAll("#results tbody tr").length`)
	if rows == 0 {
		b.Fatal("no events")
	}
	b.await(`document.querySelectorAll("figure.bars rect.all").length > 0`) // which come after the rows
	b.await(`[...document.querySelectorAll("time")].every((t) => t.title.endsWith(" UTC") && !t.textContent.endsWith(" UTC"))`)
	// The filter is completed by keyboard alone.
	b.run(chromedp.Focus("#filter"))
	b.key("outc")
	b.await(`!document.getElementById("options").hidden`)
	for _, key := range []string{"ArrowDown", "Enter", "ArrowDown", "Enter"} {
		b.press(key)
	}
	value := eval[string](b, `document.getElementById("filter").value`)
	if !strings.HasPrefix(value, "outcome:") || !strings.HasSuffix(value, " ") {
		b.Fatalf("completed to %q", value)
	}
	b.press("Escape")
	b.press("Enter")
	b.await(`location.search.includes("outcome") && document.readyState === "complete"`)
	// An event opens beside the table, and Escape leads back to where it was.
	b.await(`document.querySelector("#results tbody tr") !== null`)
	b.key("j")
	b.press("Enter")
	b.await(`!document.getElementById("drawer").hidden && document.querySelector("#drawer #event h2") !== null`)
	b.await(`document.getElementById("drawer").innerText.includes("Proof state") && document.querySelector("#drawer pre").textContent.includes('"source"')`)
	b.press("Escape")
	b.await(`document.getElementById("drawer").hidden && document.activeElement.matches("a.open")`)
	// The search is kept under a name, and is found under it.
	b.run(chromedp.Click(".under details:first-of-type > summary"), chromedp.Focus("form[action^='/search/saved'] input[name=name]:not([type=hidden])"))
	b.key("watched")
	b.press("Enter")
	b.await(`location.search.includes("%40watched") && document.querySelector(".notice")?.textContent === "Saved." && document.querySelectorAll("#results tbody tr").length > 0`)
}

func tourFindings(b *browser) {
	b.open("/findings?tenant=globex&status=open")
	b.await(`document.querySelectorAll("table.rows tbody tr").length > 1`)
	n := eval[int](b, `document.querySelectorAll("table.rows tbody tr").length`)
	b.key("j")
	b.key("a")
	b.await(fmt.Sprintf(`document.querySelector(".notice")?.textContent.startsWith("Acknowledged") && document.querySelectorAll("table.rows tbody tr").length === %d`, n-1))
	b.key("j")
	b.key("r")
	b.await(`document.activeElement.id === "reason"`)
	b.key("rolled back")
	b.press("Enter")
	b.await(`document.querySelector(".notice")?.textContent.startsWith("Resolved")`)
	b.key("j")
	b.press("Enter")
	b.await(`location.pathname.startsWith("/findings/")`)
	b.key("c")
	b.await(`document.activeElement.matches("details.verb[open] textarea")`)
	b.open("/findings/" + firstFinding(b.site, "admin").Key)
	b.key("s")
	b.await(`document.activeElement.matches("details.verb[open] input[name=assignee]")`)
	eval[string](b, `document.activeElement.value = "carol"`)
	b.press("Enter")
	b.await(`document.querySelector(".notice")?.textContent.startsWith("Assigned") && document.querySelector("main").innerText.includes("to carol")`)
	b.key("e")
	b.await(`document.activeElement.matches("details.verb[open] input[name=until]")`)
	eval[string](b, `document.activeElement.value = new Date(Date.now() + 7 * 864e5).toISOString().slice(0, 10)`)
	eval[string](b, `document.activeElement.form.querySelector("[name=reason]").value = "until the migration"`)
	b.press("Enter")
	b.await(`document.querySelector(".notice")?.textContent.startsWith("Excepted") && document.querySelector(".tag").parentElement.innerText.includes("until")`)
}

func tourHostile(b *browser) {
	for _, e := range hostileEvents() {
		b.open("/events/" + e.ID + "?tenant=evil")
		if title := eval[string](b, "document.title"); title == "owned" {
			b.Errorf("the event %s runs a script", e.Source.EventID)
		}
		if wide := eval[bool](b, "document.documentElement.scrollWidth > document.documentElement.clientWidth"); wide {
			b.Errorf("the event %s makes the page wider than the screen", e.Source.EventID)
		}
	}
	b.open("/search?tenant=evil")
	if n := eval[int](b, `document.querySelectorAll("main script, main img, main iframe").length`); n != 0 {
		b.Errorf("%d elements that events brought", n)
	}
}

// named are keys that are no characters, with what they type.
var named = map[string]input.DispatchKeyEventParams{
	"Enter": {WindowsVirtualKeyCode: 13, Text: "\r"}, "Escape": {WindowsVirtualKeyCode: 27}, "ArrowDown": {WindowsVirtualKeyCode: 40}, "Tab": {WindowsVirtualKeyCode: 9},
}

// press presses a key as a keyboard does: what it types is part of pressing it, so a
// page that prevents the one prevents the other.
func (b *browser) press(key string) {
	b.Helper()
	p := named[key]
	p.Key, p.Code = key, key
	for _, p.Type = range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		if p.Type == input.DispatchKeyEventTypeKeyUp {
			p.Text = ""
		}
		if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, p); err != nil {
			b.Fatal(err)
		}
	}
}
