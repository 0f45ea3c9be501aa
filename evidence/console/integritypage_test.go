package console_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

// upload sends a bundle as the form of the page does.
func (v *visitor) upload(bundle []byte, header http.Header) answer {
	v.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	part, err := form.CreateFormFile("bundle", "evidence.zip")
	if err == nil {
		_, err = part.Write(bundle)
	}
	if err != nil || form.Close() != nil {
		v.Fatal(err)
	}
	req, err := http.NewRequestWithContext(v.Context(), http.MethodPost, v.url+"/integrity/verify", &b)
	if err != nil {
		v.Fatal(err)
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", form.FormDataContentType())
	res, err := v.client.Do(req)
	if err != nil {
		v.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		v.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

var fromPage = http.Header{"Sec-Fetch-Site": {"same-origin"}}

// The page says how far the log is sealed, and what the server thinks of a bundle:
// the one that it made, a forged one, and what is none.
func TestIntegrityPage(t *testing.T) {
	t.Parallel()
	s := open(t)
	v := s.visit("auditor@acme")
	page := v.page("/integrity")
	for _, want := range []string{"Nobody has looked yet", "custody.events", ">valid<", "grows", "Verify a bundle", "Nothing was deleted by policy"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	made := v.get("/api/v1/proof?filter=kind:permission_decision")
	if made.status != 200 {
		t.Fatalf("%d %s", made.status, made.body)
	}
	bundle := []byte(made.body)
	for name, x := range map[string]struct {
		bundle []byte
		want   string
	}{
		"as it was made": {bundle, ">Intact<"},
		"forged":         {bytes.Replace(bundle, []byte(`"effect":"allow"`), []byte(`"effect":"denyy"`), 1), "Not intact: content"},
		"none":           {[]byte("<script>alert(1)</script>"), "It cannot be judged"},
		"too large":      {make([]byte, 33<<20), "larger than 32 MiB"},
	} {
		a := v.upload(x.bundle, fromPage)
		if a.status != 200 || !strings.Contains(a.body, x.want) {
			t.Errorf("%s: %d, does not say %q: %.2000s", name, a.status, x.want, a.body)
		}
		if strings.Contains(a.body, "<script>alert") {
			t.Errorf("%s: the page has the bundle's script", name)
		}
	}
	if a := v.upload(bundle, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}); a.status != http.StatusForbidden {
		t.Errorf("sent by a page of another site: %d", a.status)
	}
	if a := s.visit("reviewer@acme").get("/integrity"); a.status != http.StatusForbidden {
		t.Errorf("a reviewer: %d", a.status)
	}
}
