package table_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/custody-audit/custody/schemas/table"
)

// The engine of the tests makes its users of the same grants and filters
// (deploy/embedded); this one holds what is in the file, and that no password is.
func TestUsers(t *testing.T) {
	asked := map[string]bool{}
	got, err := table.Users("custody", []string{"acme", "globex-2"}, func(user string) (string, error) {
		asked[user] = true
		return "secret of " + user, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(got)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{table.Admin, "custody_writer", "custody_detector", "custody_registrar", "custody_handler", "custody_analyst", "custody_auditor_acme", "custody_auditor_globex-2"} {
		if !asked[user] || !strings.Contains(got, "<"+user+"><password_sha256_hex>") {
			t.Errorf("no user %s", user)
		}
	}
	if strings.Contains(got, "secret of") || strings.Contains(got, "DATABASE") {
		t.Error(got)
	}
	_, auditor, _ := strings.Cut(got, "<custody_auditor_acme>")
	auditor, _, _ = strings.Cut(auditor, "</custody_auditor_acme>")
	if n := strings.Count(auditor, "<filter>tenant = 'acme'</filter>"); n != len(table.Tenanted) {
		t.Errorf("%d filters for %d tables", n, len(table.Tenanted))
	}
	if strings.Contains(auditor, "INSERT") || strings.Contains(auditor, ".*") || strings.Contains(auditor, "rule_progress") {
		t.Errorf("an auditor may do more than read:\n%s", auditor)
	}
	if _, err := table.Users("custody", nil, func(string) (string, error) { return "", errors.New("disk full") }); err == nil {
		t.Error("no password, and no error")
	}
}
