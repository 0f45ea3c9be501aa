package proof_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/custody-audit/custody/evidence/proof"
)

// verifyVariable makes the test binary a program that verifies a bundle, so that
// its memory is that of a verifier alone: file and policy.
const verifyVariable = "CUSTODY_TEST_VERIFY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(verifyVariable); dir != "" {
		verifyAlone(dir)
		return
	}
	os.Exit(m.Run())
}

// verifyAlone prints seconds and the most memory that the process had, in MiB.
func verifyAlone(dir string) {
	p, err1 := os.Open(filepath.Join(dir, "policy"))
	f, err2 := os.Open(filepath.Join(dir, "bundle"))
	if err1 != nil || err2 != nil {
		panic(fmt.Sprint(err1, err2))
	}
	begin := time.Now()
	policy, err := proof.ParsePolicy(p)
	if err != nil {
		panic(err)
	}
	r, err := proof.Verify(f, policy, nil)
	took := time.Since(begin)
	if err != nil || !r.Intact {
		panic(fmt.Sprint(err, r))
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	kb, _ := strconv.Atoi(string(peak[1]))
	fmt.Printf("%f %f\n", took.Seconds(), float64(kb)/1024)
}

// BenchmarkBundle exports and verifies 100,000 events of a real log: all of it, a
// third of it as one tenant's range, and a third of it without a range.
func BenchmarkBundle(b *testing.B) {
	const n = 100_000
	e := newEstate(b, false)
	for _, req := range []struct{ name, filter, tenant string }{{"all", "", ""}, {"tenant", "", "acme"}, {"scattered", "tenant:acme", ""}} {
		b.Run(req.name, func(b *testing.B) {
			for e.sent < n {
				e.send(many(n)[e.sent:min(e.sent+20_000, n)]...)
			}
			r := e.request(req.filter, req.tenant)
			if req.name != "scattered" {
				r = e.request(req.filter, req.tenant, "2020-01-01T00:00:00Z/2100-01-01T00:00:00Z")
			}
			dir := b.TempDir()
			var export, verify, python, peak, size float64
			for b.Loop() {
				begin := time.Now()
				bundle := e.export(r)
				export += time.Since(begin).Seconds()
				size = float64(len(bundle))
				for name, content := range map[string][]byte{"bundle": bundle, "policy": []byte(e.policyText())} {
					if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
						b.Fatal(err)
					}
				}
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), verifyVariable+"="+dir)
				out, err := cmd.Output()
				var took, memory float64
				if _, err2 := fmt.Sscan(string(out), &took, &memory); err != nil || err2 != nil {
					b.Fatal(err, err2, string(out))
				}
				verify, peak = verify+took, max(peak, memory)
				begin = time.Now()
				cmd = exec.Command("python3", "-B", "../../docs/verify/verify.py", "--policy", filepath.Join(dir, "policy"), filepath.Join(dir, "bundle"))
				if out, err := cmd.Output(); err != nil {
					b.Fatal(err, string(out))
				}
				python += time.Since(begin).Seconds()
			}
			b.ReportMetric(export/float64(b.N), "export-s")
			b.ReportMetric(verify/float64(b.N), "verify-s")
			b.ReportMetric(python/float64(b.N), "python-s")
			b.ReportMetric(peak, "verify-MiB")
			b.ReportMetric(size/1e6, "bundle-MB")
		})
	}
}
