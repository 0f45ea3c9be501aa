//go:build browser

package console_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/custody-audit/custody/schemas/story"
)

// tourChain looks for who was behind a call: a box is chosen by keyboard, the evidence
// for it shows, the slider goes back in time, and a fold opens.
func tourChain(b *browser) {
	call := story.Named("deploy-call")
	b.open("/chain?start=" + call.ID)
	if n := eval[int](b, `document.querySelectorAll("svg.graph .focus").length`); n == 0 {
		b.Fatal("the call that the question began with is not marked")
	}
	b.run(chromedp.Focus("svg.graph a.call.focus"))
	b.press("Enter")
	b.await(`document.querySelector(".details > section:target h2")?.textContent.includes("deploy_service")`)
	b.await(`document.querySelector("svg.graph a.selected.call") !== null`)
	b.press("Escape")
	b.await(`document.querySelector(".details > section:target") === null`)
	b.run(chromedp.Focus("#at"))
	eval[bool](b, `(() => { const at = document.getElementById("at"); at.value = 1; return at.dispatchEvent(new Event("input")) })()`)
	b.await(`document.querySelectorAll("svg.graph .later").length > 0 && document.getElementById("at").getAttribute("aria-valuetext") !== null`)
	before := eval[float64](b, `Number(document.querySelector("svg.graph").getAttribute("width"))`)
	b.run(chromedp.Click(`[data-zoom] [data-by="0.8"]`))
	if after := eval[float64](b, `Number(document.querySelector("svg.graph").getAttribute("width"))`); after >= before {
		b.Errorf("made smaller, it is %v wide after %v", after, before)
	}
}

// tourIdentities goes from the list to somebody, and to what was granted and never used.
func tourIdentities(b *browser) {
	b.open("/identities?days=3650&tenant=acme")
	b.run(chromedp.Click(`a[href^="/identities/planner"]`))
	b.await(`location.pathname === "/identities/planner" && document.body.innerText.includes("Least privilege")`)
	b.run(chromedp.Click(`a[href^="/identities/servers/github-mcp"]`))
	b.await(`location.pathname === "/identities/servers/github-mcp" && document.body.innerText.includes("Who calls what")`)
}

// tourIntegrity drops a bundle on the page and has it verified.
func tourIntegrity(b *browser) {
	b.open("/integrity?tenant=acme")
	bundle := b.visit("auditor@acme").get("/api/v1/proof?filter=kind:permission_decision")
	if bundle.status != 200 {
		b.Fatalf("%d %s", bundle.status, bundle.body)
	}
	eval[bool](b, fmt.Sprintf(`(() => {
		const bytes = Uint8Array.from(atob(%q), c => c.charCodeAt(0))
		const data = new DataTransfer()
		data.items.add(new File([bytes], "evidence.zip", { type: "application/zip" }))
		return document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })), true
	})()`, base64.StdEncoding.EncodeToString([]byte(bundle.body))))
	b.await(`location.pathname === "/integrity/verify" && document.body.innerText.includes("Intact")`)
}

// TestChainSpeed says how long a delegation of 200 hops takes from the request to the
// end of its layout, in a real browser, drawn whole and folded.
func TestChainSpeed(t *testing.T) {
	events, start := fanOut(200)
	s := open(t, events...)
	whole := chromium(t)
	b := s.browser(t, whole, "admin")
	for _, how := range []string{"", "&open=all"} {
		for range 5 {
			b.open("/chain?tenant=deep&start=" + start + how)
			b.await(`performance.getEntriesByType("navigation")[0].loadEventEnd > 0 && performance.getEntriesByName("first-contentful-paint").length > 0`)
			text := eval[string](b, `(() => {
				const n = performance.getEntriesByType("navigation")[0]
				document.querySelector("svg.graph").getBBox()
				return "answer " + Math.round(n.responseEnd) + " ms, first paint " + Math.round(performance.getEntriesByName("first-contentful-paint")[0].startTime) + " ms, loaded and laid out " + Math.round(n.loadEventEnd) + " ms, " + document.querySelectorAll("svg.graph a.node").length + " boxes"
			})()`)
			t.Logf("200 hops%s: %s", how, text)
		}
	}
	if dir := os.Getenv("CUSTODY_SCREENSHOTS"); dir != "" {
		shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "chain-200.png"), shot, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}
}
