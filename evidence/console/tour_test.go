//go:build browser

package console_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"

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
	b.open("/chain?tenant=evil&start=" + hostileEvents()[0].ID)
	folded := eval[int](b, `document.querySelectorAll("svg.graph a.call").length`)
	if eval[int](b, `document.querySelectorAll("svg.graph a.fold").length`) == 0 {
		b.Fatal("nothing is folded")
	}
	b.run(chromedp.Focus("svg.graph a.fold"))
	b.press("Enter")
	b.await(`document.querySelector(".details > section:target a[href*='open=']") !== null`)
	b.run(chromedp.Focus(".details > section:target a[href*='open=']"))
	b.press("Enter")
	b.await(fmt.Sprintf(`document.querySelectorAll("svg.graph a.call").length > %d`, folded))
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

// newReview begins a review of acme and returns where it is.
func newReview(s *site) string {
	s.Helper()
	a := s.visit("admin").post("/reviews?tenant=acme", url.Values{"name": {"Autumn"}, "once": {rand.Text()}})
	if a.status != http.StatusSeeOther {
		s.Fatalf("begin a review: %d %s", a.status, a.body)
	}
	return a.header.Get("Location")
}

// tourReview begins a review, certifies one line of it by keyboard and revokes all others at once.
func tourReview(b *browser) {
	b.open("/reviews?tenant=acme")
	b.run(chromedp.Focus(`form[action^="/reviews"] input[name=name]`))
	b.key("Winter")
	b.press("Enter")
	b.await(`location.pathname.startsWith("/reviews/") && document.querySelectorAll("input[name=line]").length > 2`)
	n := eval[int](b, `document.querySelectorAll("input[name=line]").length`)
	b.run(chromedp.Focus("input[name=line]"))
	b.press(" ")
	b.run(chromedp.Focus("input[name=reason]"))
	b.key("needed")
	b.press("Enter")
	b.await(fmt.Sprintf(`document.querySelector(".notice")?.textContent.startsWith("Certified") && document.querySelectorAll("input[name=line]").length === %d`, n-1))
	b.run(chromedp.Click("#all"))
	b.await(fmt.Sprintf(`document.querySelectorAll("input[name=line]:checked").length === %d`, n-1))
	eval[string](b, `document.querySelector("select[name=verb]").value = "revoke"`)
	b.run(chromedp.Focus("input[name=reason]"))
	b.key("nobody needs them")
	b.press("Enter")
	b.await(`document.querySelector(".notice")?.textContent.startsWith("Revoked") && document.querySelectorAll("input[name=line]").length === 0`)
	if formats := eval[int](b, `document.querySelectorAll('a[href*="/report?format="], a[href*="format="][download]').length`); formats < 3 {
		b.Errorf("the report is offered in %d formats", formats)
	}
}

// tourSources fills in the form and finds what to type and to paste.
func tourSources(b *browser) {
	b.open("/sources?tenant=acme")
	b.run(chromedp.Focus("#add input[name=name]"))
	b.key("payments-mcp")
	eval[string](b, `document.querySelector("#add select[name=kind]").value = "otlp"`)
	b.press("Enter")
	b.await(`document.querySelector("#add .steps")?.innerText.includes("custody source add payments-mcp --tenant acme --type otlp")`)
	if paste := eval[string](b, `document.querySelector("#add [aria-label='What to paste']").innerText`); !strings.Contains(paste, "endpoint: http://127.0.0.1:4318") {
		b.Errorf("to paste: %s", paste)
	}
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
