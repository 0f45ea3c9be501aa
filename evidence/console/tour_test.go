//go:build browser

package console_test

import (
	"encoding/base64"
	"fmt"

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
