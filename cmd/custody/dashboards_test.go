package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The verb writes what is committed, and the same again.
func TestDashboardsGenerate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	provisioning := filepath.Join(t.TempDir(), "provisioning")
	for range 2 {
		ask(t, "dashboards", "generate", dir, "--provisioning", provisioning)
	}
	for _, name := range []string{"alerting", "dashboards", "datasources"} {
		committed := filepath.Join("..", "..", "deploy", "grafana", name)
		if diff := cmp.Diff(readFolder(t, committed), readFolder(t, filepath.Join(provisioning, name))); diff != "" {
			t.Errorf("%s: run \"go generate ./dashboards\" (-committed +generated):\n%s", name, diff)
		}
	}
	committed := filepath.Join("..", "..", "dashboards", "grafana")
	if diff := cmp.Diff(readFolder(t, committed), readFolder(t, dir)); diff != "" {
		t.Errorf("run \"go generate ./dashboards\" (-committed +generated):\n%s", diff)
	}
}

func readFolder(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d files in %s, %v", len(entries), dir, err)
	}
	files := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}

// The token comes from a file, and no error repeats it. What is sent to Grafana
// is tested in dashboards/installer.
func TestDashboardsPushToken(t *testing.T) {
	const token = "glsa_secret_of_the_test"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readToken(nil, file); got != token || err != nil {
		t.Errorf("from a file: %q, %v", got, err)
	}
	if got, err := readToken(strings.NewReader(token+"\r\n"), "-"); got != token || err != nil {
		t.Errorf("from standard input: %q, %v", got, err)
	}
	nowhere := "http://" + freeAddress(t)
	for name, args := range map[string][]string{
		"the token for its file": {"--url", nowhere, "--token", token},
		"no Grafana":             {"--url", nowhere, "--token", file},
		"no address":             {"--token", file},
		"no token":               {"--url", nowhere},
	} {
		if _, err := try(t, append([]string{"dashboards", "push"}, args...)...); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
