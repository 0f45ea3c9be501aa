//go:build browser

package console_test

import (
	"os"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// BenchmarkBrowser times in headless Chromium when somebody sees something: over the
// story, or over what "custody bench load" stored in the folder that CUSTODY_LOAD names.
func BenchmarkBrowser(b *testing.B) {
	var s *site
	if dir := os.Getenv("CUSTODY_LOAD"); dir != "" {
		s = load(b, dir)
	} else {
		s = open(b)
	}
	v := s.browser(b, chromium(b), "admin")
	v.open("/search?filter=kind:tool_invocation")
	call := eval[string](v, `new URL(document.querySelector("a.open").href).pathname.split("/").pop()`)
	const painted = `performance.getEntriesByName("first-contentful-paint")[0].startTime`
	for _, step := range []struct{ name, path, until, took string }{
		{"search-rows", "/search", `document.querySelector("#results tbody tr")`, painted},
		{"search-7d-rows", "/search?filter=kind:tool_invocation+last:7d", `document.querySelector("#results tbody tr")`, painted},
		{"search-bars", "/search", `document.querySelector("figure.bars")`, `performance.getEntriesByType("resource").find((r) => r.name.includes("/search/bars")).responseEnd`},
		{"drawer", "/search", `document.querySelector("figure.bars")`, `(async () => {
			const began = performance.now()
			document.querySelector("a.open").click()
			while (!document.querySelector("#drawer #event")) await new Promise(requestAnimationFrame)
			return performance.now() - began
		})()`},
		{"chain", "/chain?start=" + call, `document.querySelector("svg.graph")`, painted},
		{"identities", "/identities", `document.querySelector("table.cards")`, painted},
		{"home", "/", `document.querySelector(".panel")`, painted},
	} {
		b.Run(step.name, func(b *testing.B) {
			var took []float64
			for b.Loop() {
				v.open(step.path)
				v.await(step.until + ` && performance.getEntriesByName("first-contentful-paint").length > 0`)
				ms, err := chromedp.Run(v.ctx, chromedp.Evaluate[float64](step.took, chromedp.EvalAwaitPromise))
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, ms)
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2], "p50-ms")
			b.ReportMetric(took[int(0.95*float64(len(took)-1))], "p95-ms")
		})
	}
}
