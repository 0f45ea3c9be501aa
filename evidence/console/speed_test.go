//go:build browser

package console_test

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/systeminfo"
	"github.com/chromedp/chromedp"
)

// maxChainWork bounds the CPU time that a delegation of 200 hops costs at best, here and
// in the browser together, from the request to the end of its layout. It is the aim for
// the time that somebody waits, on a machine that does nothing else.
const maxChainWork = time.Second

// tourSpeed says how long a delegation of 200 hops takes, and holds what it costs to
// the bound: CPU time, because the clock also measures what else the machine does.
func tourSpeed(b *browser) {
	_, start := fanOut(200)
	var waited, work []time.Duration
	for range 5 {
		here, there := worked(b), b.worked()
		b.open("/chain?tenant=deep&open=all&start=" + start)
		b.await(`performance.getEntriesByType("navigation")[0].loadEventEnd > 0 && performance.getEntriesByName("first-contentful-paint").length > 0`)
		n := eval[int](b, `document.querySelector("svg.graph").getBBox().width && document.querySelectorAll("svg.graph a.hop").length`)
		if n != 201 {
			b.Errorf("%d boxes of tokens, want 201", n)
		}
		here, there = worked(b)-here, b.worked()-there
		at := eval[[]float64](b, `[performance.getEntriesByType("navigation")[0].responseEnd, performance.getEntriesByName("first-contentful-paint")[0].startTime, performance.getEntriesByType("navigation")[0].loadEventEnd]`)
		b.Logf("200 hops: answer %.0f ms, first paint %.0f ms, loaded and laid out %.0f ms; CPU here %v, in Chromium %v", at[0], at[1], at[2], here, there)
		waited, work = append(waited, time.Duration(at[2])*time.Millisecond), append(work, here+there)
	}
	slices.Sort(waited)
	slices.Sort(work)
	b.Logf("200 hops, median: loaded and laid out %v, CPU %v", waited[2], work[2])
	if work[0] > maxChainWork {
		b.Errorf("200 hops cost %v of CPU at best, want at most %v", work[0], maxChainWork)
	}
	b.picture("chain-200", chromedp.CaptureScreenshot())
}

// worked is the CPU time that all processes of the browser took.
func (b *browser) worked() (sum time.Duration) {
	b.Helper()
	all, err := chromedp.CallBrowser(b.ctx, systeminfo.GetProcessInfo, cdp.Empty{})
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range all.ProcessInfo {
		sum += time.Duration(p.CPUTime * float64(time.Second))
	}
	return sum.Round(time.Millisecond)
}

// picture keeps what the tab shows, where pictures are wanted.
func (b *browser) picture(name string, take chromedp.Action[[]byte]) {
	b.Helper()
	if shots == "" {
		return
	}
	shot, err := chromedp.Run(b.ctx, take)
	if err == nil {
		err = os.WriteFile(filepath.Join(shots, name+".png"), shot, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}
