package detect

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/processor/detect/sigma"
)

// loadSigma translates the Sigma rules of a folder.
func loadSigma(files fs.FS) ([]*Rule, error) {
	translated, err := sigma.Load(files)
	errs := []error{err}
	var rules []*Rule
	for _, s := range translated {
		r, err := fromSigma(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule file %s: Sigma rule %q: %w", s.File, s.Name, err))
			continue
		}
		rules = append(rules, r)
	}
	return rules, errors.Join(errs...)
}

// fromSigma makes of what Sigma says a rule says what ours say. Its version is the
// date of its last change.
func fromSigma(s *sigma.Rule) (*Rule, error) {
	version, err := strconv.ParseUint(strings.NewReplacer("-", "", "/", "").Replace(cmp.Or(s.Changed, "1")), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("modified or date %q: want a date as 2026-11-27", s.Changed)
	}
	controls, err := controlsOf(s.Tags)
	if err != nil {
		return nil, err
	}
	means := cmp.Or(s.Description, s.Title)
	if len(s.References) > 0 {
		means += "\n\nReferences: " + strings.Join(s.References, ", ")
	}
	r := &Rule{
		ID: s.Name, Version: uint32(version), Title: s.Title, Severity: Severities[slices.Index(sigma.Levels, s.Level)],
		Means: means, Respond: "Look at the finding's events, and at what its identity did before and afterwards.",
		FalsePositives: cmp.Or(strings.Join(s.FalsePositives, "; "), "The rule names none."),
		Schedule:       Schedule{Prompt: s.Single}, Controls: controls, SQL: s.SQL, Values: s.Values, file: s.File,
	}
	return r, r.validate()
}

// namespaces of tags that name controls; other tags say nothing to us.
var namespaces = map[string]string{
	"owasp-agentic": "OWASP Agentic 2026", "owasp-mcp": "OWASP MCP", "owasp-nhi": "OWASP NHI", "owasp-threats": "OWASP agentic threats",
	"maestro": "MAESTRO", "nist-ai-rmf": "NIST AI RMF", "nist-csf": "NIST CSF 2.0", "nist-800-53": "NIST SP 800-53", "atlas": "MITRE ATLAS",
}

// controlsOf finds the controls that tags name: owasp-mcp.mcp02, nist-ai-rmf.govern-1.6.
func controlsOf(tags []string) (map[string][]string, error) {
	out := map[string][]string{}
	plain := strings.NewReplacer("-", "", " ", "")
	for _, tag := range tags {
		space, id, _ := strings.Cut(tag, ".")
		framework, ok := namespaces[space]
		if !ok {
			continue
		}
		i := slices.IndexFunc(Frameworks[framework], func(c string) bool {
			return strings.EqualFold(plain.Replace(c), plain.Replace(id))
		})
		if i < 0 {
			return nil, fmt.Errorf("tag %q: %s has no such control; it has %v", tag, framework, Frameworks[framework])
		}
		out[framework] = append(out[framework], Frameworks[framework][i])
	}
	return out, nil
}
