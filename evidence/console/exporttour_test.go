//go:build browser

package console_test

import (
	"bufio"
	"encoding/csv"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/custody-audit/custody/schemas/story"
)

// tourExport takes events away by the page: what is kept is whole, nothing in a table is
// a formula, one that takes long shows how far it is and is cancelled, and without
// scripts the link is a download.
func tourExport(b *browser) {
	dir := b.TempDir()
	of := chromedp.FromContext(b.ctx).BrowserContextID
	if _, err := chromedp.CallBrowser(b.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: of, DownloadPath: dir}); err != nil {
		b.Fatal(err)
	}
	b.open("/search?tenant=evil")
	b.export("csv")
	b.await(`document.querySelector("#export p").textContent.startsWith("CSV: done")`)
	b.formulas(filepath.Join(dir, "custody-events.csv"))

	b.open("/search?tenant=deep")
	b.export("ndjson")
	b.await(`document.querySelector("#export p").textContent.startsWith("NDJSON: done")`)
	if n := lines(b, filepath.Join(dir, "custody-events.ndjson")); n != 400 {
		b.Errorf("%d events were kept, want 400", n)
	}
	b.picture("export-done", chromedp.CaptureScreenshot())

	b.await(`document.querySelector("a[data-export][data-total]")`)
	b.book.taken()
	b.hold.Store(true)
	b.export("ndjson")
	b.await(`/^NDJSON: [1-9][0-9]* of 400 events/.test(document.querySelector("#export p").textContent)`)
	b.picture("export", chromedp.CaptureScreenshot())
	b.accessibleNow("export")
	b.run(chromedp.Click("#export button"))
	b.await(`document.querySelector("#export [role=status]").textContent.includes("cancelled")`)
	b.hold.Store(false)
	b.ended("broken off")
	if kept, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(kept) != 2 {
		b.Errorf("kept %v, %v: want what was not cancelled", kept, err)
	}
}

// export follows the link of the page by keyboard.
func (b *browser) export(format string) {
	b.Helper()
	b.await(`document.querySelector("#export") && document.readyState === "complete"`)
	b.run(chromedp.Click(".under details:has(a[data-export]) > summary"), chromedp.Focus(`a[data-export="`+format+`"]`))
	b.press("Enter")
}

// ended waits until the record says how an export ended.
func (b *browser) ended(how string) {
	b.Helper()
	for b.ctx.Err() == nil {
		for _, e := range b.book.taken() {
			if e.Decision.Action == "export-events" && e.Attributes["stage"] == how {
				return
			}
		}
		eval[bool](b, "true") // a little later
	}
	b.Fatalf("no record says that an export ended as %q", how)
}

// kept waits until a download is there, which the page does not hear of.
func (b *browser) kept(file string) []byte {
	b.Helper()
	for {
		text, err := os.ReadFile(file)
		if err == nil && len(text) > 0 {
			return text
		}
		if err := b.ctx.Err(); err != nil {
			b.Fatalf("%s is not there: %v", file, err)
		}
		eval[bool](b, "true") // a little later
	}
}

func lines(b *browser, file string) (n int) {
	scanner := bufio.NewScanner(strings.NewReader(string(b.kept(file))))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		n++
	}
	return n
}

// formulas reads a table back as a spreadsheet would, and looks for what it would obey.
func (b *browser) formulas(file string) {
	b.Helper()
	rows, err := csv.NewReader(strings.NewReader(string(b.kept(file)))).ReadAll()
	if err != nil || len(rows) != len(hostileEvents())+1 {
		b.Fatalf("%d rows, %v: want a head and %d events", len(rows), err, len(hostileEvents()))
	}
	quoted := 0
	for _, row := range rows[1:] {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				b.Errorf("a spreadsheet takes %.60q for a formula", cell)
			}
			if strings.HasPrefix(cell, "'=cmd") {
				quoted++
			}
		}
	}
	if quoted == 0 {
		b.Error("no cell holds what would be a formula, so this shows nothing")
	}
}

// tourArrival comes from a page of another site, and reads when it says that it was meant.
func tourArrival(b *browser) {
	to := b.url + "/events/" + story.Named("refund-call").ID
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(`<!doctype html><title>elsewhere</title><main><a id="go" href="` + to + `">a link</a><img alt="" src="` + to + `"><img alt="" src="` + b.url + `/api/v1/events"></main>`))
	}))
	defer other.Close()
	for _, from := range []string{other.URL, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)} { // the same site as we are, and another
		b.book.taken()
		b.run(chromedp.Navigate(from))
		b.await(`document.readyState === "complete" && document.title === "elsewhere"`)
		b.run(chromedp.Click("#go"))
		b.await(`document.querySelector("h1").textContent === "Did you mean to open this?"`)
		if read := b.book.taken(); len(read) != 0 {
			b.Errorf("from %s: read %v before anybody said so", from, read)
		}
		b.picture("arrive", chromedp.CaptureScreenshot())
		b.accessibleNow("arrive")
		b.run(chromedp.Click("main a.button"))
		b.await(`document.querySelector("#event h2") !== null`)
		if read := b.book.taken(); len(read) == 0 || read[0].Subject.Sub != "admin" {
			b.Errorf("from %s: recorded %v", from, read)
		}
	}
}

// tourBulk does one thing about several findings, of which somebody else has one.
func tourBulk(b *browser) {
	b.open("/findings?tenant=globex&status=open")
	b.await(`document.querySelectorAll("table.rows tbody tr").length > 2 && document.readyState === "complete"`)
	key := eval[string](b, `document.querySelectorAll("table.rows input[name=key]")[1].value.split(":")[0]`)
	if a := b.visit("analyst@globex").post("/findings", map[string][]string{"verb": {"comment"}, "key": {key}, "reason": {"mine"}}); a.status != http.StatusSeeOther {
		b.Fatalf("comment: %d %s", a.status, a.body)
	}
	for range 3 {
		b.key("j")
		b.key("x")
	}
	b.key("a")
	b.await(`document.querySelector("h1").textContent.includes("done for 2, refused for 1")`)
	if to := eval[string](b, `document.querySelector("main table a").getAttribute("href")`); !strings.HasPrefix(to, "/findings/"+key) {
		b.Errorf("it names %q as refused, want %s", to, key)
	}
	b.accessibleNow("acted")
	b.picture("acted", chromedp.CaptureScreenshot())
	b.run(chromedp.Click("main a.button"))
	b.await(`location.pathname === "/findings"`)
}
