package check

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the list of licences")

// allowed are licences under which a program may be given on with ours, by their
// SPDX names. Another one wants a decision.
var allowed = []string{"Apache-2.0", "MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MPL-2.0", "Unlicense"}

// read are licences that a person read, where the tool takes a file for another: it
// knows one licence a module, and mistakes Go's own for a longer one.
var read = map[string]string{
	"github.com/modelcontextprotocol/go-sdk": "Apache-2.0, MIT", // CC-BY-4.0 is for its documents
	"github.com/opencontainers/go-digest":    "Apache-2.0",      // CC-BY-SA-4.0 is for its documents
	"golang.org/x/":                          "BSD-3-Clause",
}

// bill is the software bill of materials of the program in the image, as "make sbom" writes it.
func bill(t *testing.T) *cyclonedx.BOM {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sbom.json")
	cmd := exec.Command("go", "tool", "cyclonedx-gomod", "bin", "-licenses", "-json", "-version", builtVersion, "-output", file, custody(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cyclonedx-gomod: %v: %s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var bom cyclonedx.BOM
	if err := json.Unmarshal(b, &bom); err != nil {
		t.Fatal(err)
	}
	return &bom
}

// licencesOf are the names of a module's licences.
func licencesOf(c cyclonedx.Component) string {
	for prefix, licence := range read {
		if c.Name == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(c.Name, prefix) {
			return licence
		}
	}
	var names []string
	if c.Evidence != nil && c.Evidence.Licenses != nil {
		for _, l := range *c.Evidence.Licenses {
			if l.License != nil {
				names = append(names, l.License.ID)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// Each module in the program has a licence that we may use, and the list is that of
// docs/reference/licences.md.
func TestLicences(t *testing.T) {
	bom := bill(t)
	var lines []string
	for _, c := range *bom.Components {
		licence := licencesOf(c)
		if !slices.ContainsFunc(strings.Split(licence, ", "), func(l string) bool { return slices.Contains(allowed, l) }) {
			t.Errorf("%s: licence %q is not one that is allowed", c.Name, licence)
		}
		lines = append(lines, fmt.Sprintf("| %s | %s |\n", c.Name, licence))
	}
	t.Logf("%d modules", len(lines))
	slices.Sort(lines)
	got := "<!-- Written by \"make licences\"; do not edit. -->\n\n# Licences of what is in the program\n\nBy SPDX name, as found in the modules' own files.\n\n| module | licence |\n|---|---|\n" + strings.Join(lines, "")
	golden := filepath.Join(root, "docs", "reference", "licences.md")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run \"make licences\" and review (-want +got):\n%s", diff)
	}
}
