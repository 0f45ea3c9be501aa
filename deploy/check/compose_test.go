package check

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"
)

// project is compose.yaml as "docker compose" reads it, with all profiles, in a
// copy of its folder in which prepare.sh ran.
func project(t *testing.T) *types.Project {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "deploy", "compose")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "deploy", "compose"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"secrets", "config"} { // of whoever tried it out
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time it keeps what is there
		cmd := exec.Command(filepath.Join(dir, "prepare.sh"))
		cmd.Env = append(os.Environ(), "CUSTODY="+custody(t))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("prepare.sh: %v: %s", err, out)
		}
	}
	options, err := cli.NewProjectOptions([]string{filepath.Join(dir, "compose.yaml")}, cli.WithProfiles([]string{"*"}), cli.WithWorkingDirectory(dir), cli.WithEnv([]string{"VERSION=" + builtVersion}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCompose(t *testing.T) {
	p := project(t)
	t.Logf("%d services: %s", len(p.Services), strings.Join(p.ServiceNames(), " "))
	usedSecrets, usedVolumes := map[string]bool{}, map[string]bool{}
	for name, s := range p.Services {
		ours := strings.HasPrefix(s.Image, "custody:")
		if s.Privileged || s.NetworkMode == "host" || s.Pid != "" || len(s.CapAdd) > 0 || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s has more rights than it needs", name)
		}
		if !ours && !regexp.MustCompile(`:v?[0-9]+\.[0-9]+(\.[0-9]+)?$`).MatchString(s.Image) {
			t.Errorf("%s: image %s is not of one version", name, s.Image)
		}
		if s.MemLimit == 0 {
			t.Errorf("%s may take all memory", name)
		}
		if s.HealthCheck == nil && name != "otel" {
			t.Errorf("%s has no health check", name)
		}
		if ours && (!s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.User != "") {
			t.Errorf("%s is not what the image is for", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s is reachable from other machines: %+v", name, port)
			}
		}
		for _, secret := range s.Secrets {
			usedSecrets[secret.Source] = true
		}
		for _, v := range s.Volumes {
			usedVolumes[v.Source] = true
			// What is below the repository is looked for there, since only this folder was copied.
			source := strings.Replace(v.Source, filepath.Dir(filepath.Dir(p.WorkingDir)), root, 1)
			if v.Type == types.VolumeTypeBind && !exists(v.Source) && !exists(source) {
				t.Errorf("%s mounts %s, which is not there", name, v.Source)
			}
		}
		for key, value := range s.Environment {
			if value != nil && regexp.MustCompile(`(?i)(password|secret|key)$`).MatchString(key) {
				t.Errorf("%s: %s is no file", name, key)
			}
		}
	}
	for name, s := range p.Secrets {
		if !usedSecrets[name] {
			t.Errorf("nobody reads the secret %s", name)
		}
		if info, err := os.Stat(s.File); err != nil || info.Size() == 0 {
			t.Errorf("prepare.sh makes no %s: %v", name, err)
		}
	}
	for name := range p.Volumes {
		if !usedVolumes[name] {
			t.Errorf("nobody mounts the volume %s", name)
		}
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// What each service of ours is told is read by the program itself, with its
// environment; the doctor reads all settings and then finds that nobody answers.
func TestComposeCommands(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		if !strings.HasPrefix(s.Image, "custody:") {
			continue
		}
		var environ []string
		for key, value := range s.Environment {
			environ = append(environ, key+"="+*value)
		}
		accepts(t, s.Command, environ...)
		if health := s.HealthCheck; !health.Disable {
			accepts(t, health.Test[2:], environ...)
		}
		cmd := exec.Command(custody(t), "schema", "roles") // reads the environment and asks nobody
		cmd.Dir, cmd.Env = t.TempDir(), environ
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		for _, word := range append(slices.Clone(s.Command), environ...) {
			_, path, _ := strings.Cut(word, "=")
			if strings.HasPrefix(path, "/") && !there(s, path) {
				t.Errorf("%s is told of %s, where nothing is mounted", name, path)
			}
		}
	}
	// A command line with a mistake is refused, or the above says nothing.
	if err := exec.Command(custody(t), "collect", "--no-such-flag", "--help").Run(); err == nil {
		t.Error("any flag is taken")
	}
}

// there tells whether a container has a path: a volume, or a secret.
func there(s types.ServiceConfig, path string) bool {
	for _, v := range s.Volumes {
		if path == v.Target || strings.HasPrefix(path, v.Target+"/") {
			return true
		}
	}
	for _, secret := range s.Secrets {
		target := secret.Target
		if target == "" {
			target = secret.Source
		}
		if !filepath.IsAbs(target) {
			target = "/run/secrets/" + target
		}
		if path == target || strings.HasPrefix(target, path+"/") {
			return true
		}
	}
	return false
}

// The files beside compose.yaml are YAML, and name what is there.
func TestComposeFiles(t *testing.T) {
	dir := filepath.Join(root, "deploy", "compose")
	for _, name := range []string{"otel/config.yaml", "grafana/datasource.yaml", "grafana/dashboards.yaml", "prometheus/prometheus.yml"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var any map[string]any
		if err := yaml.UnmarshalStrict(b, &any); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := project(t)
	grafana := p.Services["grafana"]
	for _, path := range []string{"/run/secrets/clickhouse_analyst", "/etc/custody/dashboards", "/etc/grafana/provisioning/alerting/custody.yaml"} {
		if !there(grafana, path) {
			t.Errorf("Grafana's provisioning reads %s, where nothing is mounted", path)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "otel", "config.yaml"))
	if err != nil || !bytes.Contains(b, []byte("filename: /run/secrets/source_otel")) || !there(p.Services["otel"], "/run/secrets/source_otel") {
		t.Errorf("the OpenTelemetry collector has no key, %v", err)
	}
}

// Prometheus asks every service of ours that has figures, where it answers; Grafana
// has the data sources that the alert rules ask, by their names; and all ten rules
// are there.
func TestComposeAlerts(t *testing.T) {
	dir := filepath.Join(root, "deploy", "compose")
	read := func(name string, into any) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = yaml.Unmarshal(b, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	var scrapes struct {
		Configs []struct {
			Static []struct{ Targets []string } `json:"static_configs"`
		} `json:"scrape_configs"`
	}
	read("prometheus/prometheus.yml", &scrapes)
	var want []string
	p := project(t)
	for name, s := range p.Services {
		if strings.HasPrefix(s.Image, "custody:") && !s.HealthCheck.Disable && len(s.Profiles) == 0 {
			want = append(want, name+":9464")
			if _, reached := s.Networks["pipeline"]; !reached {
				t.Errorf("Prometheus does not reach %s", name)
			}
		}
	}
	slices.Sort(want)
	if got := scrapes.Configs[0].Static[0].Targets; !slices.Equal(got, want) {
		t.Errorf("Prometheus asks %v, want %v", got, want)
	}
	var sources struct{ Datasources []struct{ UID, URL string } }
	read("grafana/datasource.yaml", &sources)
	known := map[string]bool{"__expr__": true}
	for _, s := range sources.Datasources {
		known[s.UID] = true
		if s.URL != "" && s.URL != "http://prometheus:9090" {
			t.Errorf("%s is at %s", s.UID, s.URL)
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Title string
				Data  []struct {
					DatasourceUID string `json:"datasourceUid"`
				}
			}
		}
	}
	read("../grafana/alerting/custody.yaml", &rules)
	if len(rules.Groups) != 1 || len(rules.Groups[0].Rules) != 10 {
		t.Fatalf("rules: %+v", rules)
	}
	for _, r := range rules.Groups[0].Rules {
		for _, d := range r.Data {
			if !known[d.DatasourceUID] {
				t.Errorf("rule %q asks %q, which Grafana has not", r.Title, d.DatasourceUID)
			}
		}
	}
}

// Only one service may delete, as a user of its own.
func TestComposeRetainer(t *testing.T) {
	for name, s := range project(t).Services {
		user := s.Environment["CUSTODY_CLICKHOUSE_USER"]
		if deletes := user != nil && *user == "custody_retainer"; deletes != (name == "retain") {
			t.Errorf("%s: may it delete: %t", name, deletes)
		}
	}
}
