//go:build browser

package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/custody-audit/custody/schemas/story"
)

// tours are the main tasks of the pages in a real browser, by their names.
var tours = map[string]func(*browser){
	"login":    tourLogin,
	"search":   tourSearch,
	"findings": tourFindings,
	"hostile":  tourHostile,

	"chain": tourChain, "identities": tourIdentities, "integrity": tourIntegrity,
}

// looks are the pages that are looked at: each without a serious violation of
// accessibility, and on a screenshot in light, dark and on a phone. {event} and {finding}
// stand for one of each.
var looks = map[string]string{
	"home": "/", "search": "/search", "search-none": "/search?filter=tool:nothing", "search-wrong": "/search?filter=x:y", "event": "/events/{event}",
	"findings": "/findings", "findings-groups": "/findings?by=identity", "finding": "/findings/{finding}", "nowhere": "/nowhere",
	"reviews": "/reviews?tenant=acme", "chain": "/chain?tenant=globex&start={call}", "chain-none": "/chain", "identities": "/identities?days=3650", "integrity": "/integrity",
	"chain-hostile": "/chain?tenant=evil&start={event}", "identity": "/identities/planner?days=3650&tenant=acme", "server": "/identities/servers/github-mcp?days=3650",
	"sources": "/sources?tenant=evil&name=payments-mcp&as=evil",
}

func TestBrowser(t *testing.T) {
	s := open(t, hostileEvents()...)
	whole := chromium(t)
	for name, tour := range tours {
		t.Run(name, func(t *testing.T) { tour(s.browser(t, whole, "admin")) })
	}
	t.Run("looks", func(t *testing.T) { look(t, s, whole) })
}

// chromium starts the browser that all tabs are in.
func chromium(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-background-networking", true))
	root, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	whole, end := chromedp.NewContext(root)
	t.Cleanup(end)
	if err := chromedp.Do(whole); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return whole
}

// browser is a tab of somebody who is logged in.
type browser struct {
	*site
	ctx context.Context
}

// browser opens a tab with cookies of its own.
func (s *site) browser(t *testing.T, whole context.Context, caller string) *browser {
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
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
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
	if rows == 0 || eval[int](b, `document.querySelectorAll("figure.bars rect.all").length`) == 0 {
		b.Fatal("no events, or no histogram")
	}
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
	b.press("Escape")
	b.await(`document.getElementById("drawer").hidden && document.activeElement.matches("a.open")`)
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

func look(t *testing.T, s *site, whole context.Context) {
	axe, err := os.ReadFile(filepath.Join("web", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("%v: \"make test-browser\" installs it", err)
	}
	dir := os.Getenv("CUSTODY_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	b := s.browser(t, whole, "admin")
	finding, event, call := firstFinding(b.site, "admin").Key, hostileEvents()[0].ID, story.Named("refund-call").ID
	for name, path := range looks {
		path = strings.NewReplacer("{event}", event, "{finding}", finding, "{call}", call).Replace(path)
		for _, as := range []struct {
			name          string
			scheme        string
			width, height int64
		}{{"light", "light", 1440, 900}, {"dark", "dark", 1920, 1080}, {"phone", "light", 375, 812}} {
			_, err1 := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: as.width, Height: as.height, DeviceScaleFactor: 1, Mobile: as.name == "phone"})
			_, err2 := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: as.scheme}}})
			b.open(path)
			shot, err3 := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			if err := errors.Join(err1, err2, err3, os.WriteFile(filepath.Join(dir, name+"-"+as.name+".png"), shot, 0o600)); err != nil {
				t.Fatal(err)
			}
			if wide := eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
				t.Errorf("%s, %s: %d pixels wider than the screen", name, as.name, wide)
			}
			for _, v := range violations(b, string(axe)) {
				if v.Impact == "serious" || v.Impact == "critical" {
					for _, n := range v.Nodes {
						t.Errorf("%s, %s: %s (%s) at %v: %s %.300s", name, as.name, v.Help, v.ID, n.Target, n.FailureSummary, n.HTML)
					}
				}
			}
		}
	}
}

func violations(b *browser, axe string) []violation {
	b.Helper()
	eval[chromedp.Void](b, axe+"; 0")
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run().then(r => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatal(err)
	}
	var found []violation
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.Fatal(err)
	}
	return found
}
