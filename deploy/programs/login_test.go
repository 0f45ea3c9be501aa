//go:build programs

package programs

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// testLogin logs people in at Keycloak, in Chromium, to the console of an installation
// of its own.
func testLogin(t *testing.T, i *installation, k *keycloakServer) {
	secret := i.file("console.secret")
	if err := os.WriteFile(secret, []byte("consoles-own-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := &installation{programs: i.programs, dir: t.TempDir()}
	console := start(t, regexp.MustCompile(`the API is at (\S+)/api/v1`), exec.Command(i.program("custody"), "run", "--data-dir", own.file("data"), "--collector-sources", i.file("sources.yaml"),
		"--collector-http", "127.0.0.1:0", "--collector-grpc", "", "--telemetry-address", "", "--serve-address", "127.0.0.1:0",
		"--serve-oidc-issuer", k.url+"/realms/staff", "--serve-oidc-client-id", "custody-web", "--serve-oidc-client-secret-file", secret,
		"--serve-oidc-role-claim", "roles", "--serve-oidc-roles", "sec-analysts=analyst", "--serve-oidc-tenant-claim", "tenant"))[1]
	realm, err := os.ReadFile("testdata/staff.json")
	if err != nil {
		t.Fatal(err)
	}
	k.rest(t, http.MethodPost, "/admin/realms", strings.NewReader(strings.ReplaceAll(string(realm), "CONSOLE", console)))

	root, stop := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(patience))...)
	defer stop()
	whole, end := chromedp.NewContext(root)
	defer end()
	if err := chromedp.Do(whole); err != nil {
		t.Fatalf("start chromium: %v", err)
	}

	alice := newVisitor(t, whole)
	const asked = "/search?filter=kind:session"
	alice.do(chromedp.Navigate(console + asked))
	alice.login("alice")
	alice.await(`location.pathname + location.search === "` + asked + `" && document.querySelector(".bar-end details").textContent.includes("analyst")`)
	// Keycloak knows her now. A page of another origin can send her here, and neither
	// log her in again nor have her read.
	for path, want := range map[string]string{"/auth/login?return=/findings": `location.pathname === "/login"`, "/findings": `document.querySelector("h1").textContent.includes("mean to open")`} {
		alice.do(chromedp.Navigate(k.url + "/realms/staff"))
		alice.do(chromedp.Evaluate[chromedp.Void](`setTimeout(() => location.href = "` + console + path + `")`))
		alice.await(`location.origin === "` + console + `" && ` + want)
	}
	alice.do(chromedp.Click("main a.button"))
	alice.await(`location.pathname === "/findings" && document.querySelector("h1").textContent === "Findings"`)
	alice.do(chromedp.Click(".bar details.menu > summary"), chromedp.Click("form[action='/logout'] button"))
	alice.await(`location.pathname === "/login"`)

	bob := newVisitor(t, whole)
	bob.do(chromedp.Navigate(console + "/"))
	bob.login("bob")
	bob.await(`location.pathname === "/auth/callback" && document.body.innerText.includes("no role")`)

	sessions, _ := own.find(t, 2, "kind:session type:session.*")
	for n, what := range []string{"session.started", "session.ended"} {
		if e := sessions[n]; e.Type != what || e.Tenant != tenant || e.Subject.Iss != k.url+"/realms/staff" || e.Subject.Name != "alice@acme.example" {
			t.Errorf("recorded %s, want %s of alice", e.Canonical(), what)
		}
	}
}

// patience is how long a step may take beside other work.
const patience = 4 * time.Minute

// visitor is a tab of somebody, with cookies of its own.
type visitor struct {
	*testing.T
	ctx context.Context
}

func newVisitor(t *testing.T, whole context.Context) *visitor {
	t.Helper()
	ctx, end := chromedp.NewContext(whole, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as the context that it is opened by
		t.Fatal(err)
	}
	return &visitor{t, ctx}
}

func (v *visitor) do(actions ...chromedp.Action[chromedp.Void]) {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		v.Fatal(err)
	}
}

// await waits until an expression is true, over as many pages as come meanwhile.
func (v *visitor) await(expression string) {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[chromedp.Void]("!!("+expression+")"))
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			at, _ := chromedp.Run(v.ctx, chromedp.Evaluate[string](`location.href + " " + document.body?.innerText`))
			v.Fatalf("%s does not become true: %v; the page: %.2000s", expression, err, at)
		}
	}
}

// login goes from the console's own page to Keycloak's, and sends it a password.
func (v *visitor) login(user string) {
	v.Helper()
	v.await(`location.pathname === "/login"`)
	v.do(chromedp.Click("main a.button"), chromedp.SendKeys("#username", user), chromedp.SendKeys("#password", "correct horse battery staple"), chromedp.Click("#kc-login"))
}
