package detect

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/custody-audit/custody/processor/parts"
)

// Rule is a detection: what it means, and the query that finds it.
type Rule struct {
	// ID names the rule for ever; findings are keyed by it.
	ID string `yaml:"id"`
	// Version grows when the rule judges differently.
	Version uint32 `yaml:"version"`
	// Title of its findings.
	Title    string   `yaml:"title"`
	Severity Severity `yaml:"severity"`
	// Means says what a finding tells, Respond what to do, FalsePositives when it
	// may be wrong. Markdown.
	Means          string `yaml:"means"`
	Respond        string `yaml:"respond"`
	FalsePositives string `yaml:"false_positives"`
	// Parameters reach the query as server parameters by name.
	Parameters map[string]Parameter `yaml:"parameters"`
	// Schedule says when a record is judged.
	Schedule Schedule `yaml:"schedule"`
	// Whole says that an answer tells all about its subject, whatever the window:
	// its words and evidence then take the place of those before.
	Whole bool `yaml:"whole"`
	// OCSF is the class that its findings have in a SIEM, one of [Classes]; 0 is 2004.
	OCSF int `yaml:"ocsf"`
	// Controls are ids by framework; see [Frameworks].
	Controls map[string][]string `yaml:"controls"`
	// Values reach the query beside the parameters; nobody may change them. Written
	// as ClickHouse parses them.
	Values map[string]string `yaml:"-"`
	// Query is the name of the SQL file, without its ending, for rules that share
	// one; empty is the rule's own.
	Query string `yaml:"query"`
	// SQL returns the columns of [verdict], one row per finding. It gets the
	// parameters, the stored time to judge, from inclusive and to exclusive, the
	// rule's delay as delay_ms and its id as rule.
	SQL string `yaml:"-"`

	file string // that it was read from
}

// Parameter is a value that whoever runs the rule may change.
type Parameter struct {
	Default any    `yaml:"default"` // int, bool or string; others must be of the same type
	Max     int    `yaml:"max"`     // of an integer; 0 is none
	Unit    string `yaml:"unit"`
	Means   string `yaml:"means"`
}

// check says what is wrong with a value.
func (p *Parameter) check(v any) error {
	if got, want := fmt.Sprintf("%T", v), fmt.Sprintf("%T", p.Default); got != want {
		return fmt.Errorf("want %s, got %s", want, got)
	}
	if n, ok := v.(int); ok && (n < 0 || p.Max > 0 && n > p.Max) {
		return fmt.Errorf("%d is out of range: want 0 to %d", n, p.Max)
	}
	return nil
}

// Schedule says when a record is judged.
type Schedule struct {
	// Delay after it was stored, for rules about what is absent; 0 is at once.
	Delay time.Duration `yaml:"delay"`
	// Prompt has it judged within seconds, between rounds too: for rules that look at
	// each record by itself, as they are run so often.
	Prompt bool `yaml:"prompt"`
	// Always is for rules about what is no record: they look at all of it in every
	// round, whether records came or not, and take no notice of from and to.
	Always bool `yaml:"always"`
	// After names the passes of the later enrichment whose tables the rule reads: a
	// record is judged when they have taken it in.
	After []string `yaml:"after"`
	// Sweep is how often the rule judges everything that is stored, from 1970 on,
	// whether records came or not: for what becomes so by time alone. 0 is never.
	Sweep time.Duration `yaml:"sweep"`
}

// Passes are those of the later enrichment that a rule may wait for.
var Passes = []string{"lineage", "first_seen", "first_audience", "activity", "rhythm", "reach", "verdict", "privilege"}

// Severity of a finding.
type Severity string

// Severities in order.
var Severities = []Severity{"info", "low", "medium", "high", "critical"}

// Classes of the Open Cybersecurity Schema Framework that a finding can have.
const (
	ComplianceFinding  = 2003 // something that has to be there is not
	DetectionFinding   = 2004 // somebody did what was not allowed, or what is odd
	IAMAnalysisFinding = 2008 // somebody has more than is good
)

// Classes are those classes.
var Classes = []int{ComplianceFinding, DetectionFinding, IAMAnalysisFinding}

// Frameworks are the control catalogues, with the ids that rules may name.
var Frameworks = map[string][]string{
	"OWASP Agentic 2026":    {"ASI02", "ASI03", "ASI07", "ASI10"},
	"OWASP MCP":             {"MCP01", "MCP02", "MCP07", "MCP08", "MCP09"},
	"OWASP NHI":             {"NHI1", "NHI2", "NHI5", "NHI7", "NHI9", "NHI10"},
	"OWASP agentic threats": {"T2", "T3", "T8", "T9", "T13"},
	"MAESTRO":               {"L5", "L6", "L7"},
	"NIST AI RMF":           {"GOVERN 1.5", "GOVERN 1.6", "GOVERN 2.1", "MEASURE 2.8", "MANAGE 4.1"},
	"NIST CSF 2.0":          {"PR.AA", "DE.CM", "DE.AE"},
	"NIST SP 800-53":        {"AC-2", "AC-6", "AU-2", "AU-3", "AU-6", "AU-9", "AU-10", "AU-12", "IA-5", "IA-9"},
	"MITRE ATLAS":           {"AML.T0053", "AML.T0055", "AML.T0091", "AML.T0098"},
}

// Load reads the rules of a folder: for each NAME.yaml the query NAME.sql, and of
// each NAME.yml its Sigma rules. All that is wrong with them is in the error.
func Load(files fs.FS) ([]*Rule, error) {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, err
	}
	var rules []*Rule
	var errs []error
	for _, name := range names { // sorted
		if name == OverridesFile {
			continue
		}
		r, err := read(files, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule file %s: %w", name, err))
			continue
		}
		rules = append(rules, r)
	}
	more, err := loadSigma(files)
	return append(rules, more...), errors.Join(append(errs, err)...)
}

func read(files fs.FS, name string) (*Rule, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	r := &Rule{}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(r); err != nil {
		return nil, err
	}
	base := strings.TrimSuffix(name, path.Ext(name))
	query := base
	if r.Query != "" {
		query = r.Query
	}
	sql, err := fs.ReadFile(files, query+".sql")
	if err != nil {
		return nil, fmt.Errorf("the rule's query: %w; Sigma rules are in files named *.yml", err)
	}
	r.SQL, r.file = string(sql), name
	if r.ID != base {
		return nil, fmt.Errorf("id %q: want that of the file, %q", r.ID, base)
	}
	return r, r.validate()
}

var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// reserved are the parameters that the engine gives.
var reserved = []string{"from", "to", "delay_ms", "rule"}

// validate reports all problems.
func (r *Rule) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !identifier.MatchString(r.ID) {
		wrong("id %q: want lower-case letters, digits and _", r.ID)
	}
	if r.Version == 0 || r.Title == "" || r.Means == "" || r.Respond == "" || r.FalsePositives == "" {
		wrong("version, title, means, respond and false_positives are required")
	}
	if !slices.Contains(Severities, r.Severity) {
		wrong("severity %q: want one of %v", r.Severity, Severities)
	}
	if r.Schedule.Delay < 0 || r.Schedule.Sweep < 0 {
		wrong("schedule: times must not be negative")
	}
	if (r.Schedule.Always || r.Schedule.Prompt) && (r.Schedule.Delay > 0 || r.Schedule.Sweep > 0 || len(r.Schedule.After) > 0 || r.Schedule.Always && r.Schedule.Prompt) {
		wrong("schedule: always and prompt go with no other")
	}
	for _, pass := range r.Schedule.After {
		if !slices.Contains(Passes, pass) {
			wrong("schedule.after: there is no pass %q to wait for: want some of %v", pass, Passes)
		}
	}
	for name, p := range r.Parameters {
		switch p.Default.(type) {
		case int, bool, string:
		default:
			wrong("parameter %q: want an integer, a boolean or a string as default", name)
		}
		if err := p.check(p.Default); err != nil {
			wrong("parameter %q: %w", name, err)
		}
		if p.Unit == "" || p.Means == "" || !identifier.MatchString(name) || slices.Contains(reserved, name) {
			wrong("parameter %q: want a name, a unit and what it means", name)
		}
		if !strings.Contains(r.SQL, "{"+name+":") {
			wrong("parameter %q is not used by the query", name)
		}
	}
	if r.Query != "" && !identifier.MatchString(r.Query) {
		wrong("query %q: want the name of a file of the folder, without .sql", r.Query)
	}
	if _, err := parts.Parse(r.SQL); err != nil {
		wrong("query: %w", err)
	}
	if r.OCSF == 0 {
		r.OCSF = DetectionFinding
	}
	if !slices.Contains(Classes, r.OCSF) {
		wrong("ocsf %d: want one of %v", r.OCSF, Classes)
	}
	for framework, ids := range r.Controls {
		for _, id := range ids {
			if !slices.Contains(Frameworks[framework], id) {
				wrong("control %q of %q is unknown", id, framework)
			}
		}
	}
	return errors.Join(errs...)
}

// parameters returns the values for the query as text, which ClickHouse parses
// by the type that the query gives the name.
func (r *Rule) parameters(override map[string]any) (map[string]string, error) {
	out := map[string]string{"rule": r.ID} // for rules that share a query
	maps.Copy(out, r.Values)
	for name, p := range r.Parameters {
		out[name] = fmt.Sprint(p.Default)
	}
	for name, v := range override {
		p, ok := r.Parameters[name]
		if !ok {
			return nil, fmt.Errorf("rule %s has no parameter %q", r.ID, name)
		}
		if err := p.check(v); err != nil {
			return nil, fmt.Errorf("parameter %s of rule %s: %w", name, r.ID, err)
		}
		out[name] = fmt.Sprint(v)
	}
	return out, nil
}

// unknown reports overrides for rules that there are not.
func unknown(overrides map[string]map[string]any, rules []*Rule) error {
	for id := range overrides {
		if !slices.ContainsFunc(rules, func(r *Rule) bool { return r.ID == id }) {
			return fmt.Errorf("detect: parameters for rule %q, which there is not", id)
		}
	}
	return nil
}
