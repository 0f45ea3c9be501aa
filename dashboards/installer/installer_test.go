package installer_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/grafana-foundation-sdk/go/alerting"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/dashboards/alert"
	"github.com/custody-audit/custody/dashboards/board"
	"github.com/custody-audit/custody/dashboards/installer"
)

const token = "glsa_of_the_test"

// grafana stands for a Grafana, which cannot be installed where the tests run.
// It answers the six requests as the HTTP API of Grafana 12 documents them, and
// refuses what that would: another token, another content type, unknown fields,
// a dashboard for a folder that is not there, or a known one without overwrite.
type grafana struct {
	t          *testing.T
	folders    map[string]string             // title by uid
	dashboards map[string]saved              // by uid
	rules      map[string]alerting.RuleGroup // by folder and title
	requests   []string
}

type saved struct {
	folder    string
	version   int
	dashboard map[string]any
}

func startGrafana(t *testing.T) (*grafana, string) {
	g := &grafana{t: t, folders: map[string]string{}, dashboards: map[string]saved{}, rules: map[string]alerting.RuleGroup{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /grafana/api/folders/{uid}", g.getFolder)
	mux.HandleFunc("POST /grafana/api/folders", g.postFolder)
	mux.HandleFunc("GET /grafana/api/dashboards/uid/{uid}", g.getDashboard)
	mux.HandleFunc("POST /grafana/api/dashboards/db", g.postDashboard)
	mux.HandleFunc("GET /grafana/api/v1/provisioning/folder/{folder}/rule-groups/{group}", g.getRules)
	mux.HandleFunc("PUT /grafana/api/v1/provisioning/folder/{folder}/rule-groups/{group}", g.putRules)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.requests = append(g.requests, r.Method+" "+r.URL.Path)
		if r.Header.Get("Authorization") != "Bearer "+token {
			answer(w, http.StatusUnauthorized, map[string]any{"message": "Invalid API key"})
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return g, s.URL + "/grafana/"
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// read takes a request's body, strictly.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if r.Header.Get("Content-Type") != "application/json" || d.Decode(into) != nil {
		answer(w, http.StatusBadRequest, map[string]any{"message": "bad request data"})
		return false
	}
	if _, err := d.Token(); err != io.EOF {
		answer(w, http.StatusBadRequest, map[string]any{"message": "bad request data"})
		return false
	}
	return true
}

func (g *grafana) getFolder(w http.ResponseWriter, r *http.Request) {
	title, ok := g.folders[r.PathValue("uid")]
	if !ok {
		answer(w, http.StatusNotFound, map[string]any{"message": "folder not found", "status": "not-found"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"id": 1, "uid": r.PathValue("uid"), "title": title})
}

func (g *grafana) postFolder(w http.ResponseWriter, r *http.Request) {
	var body struct{ UID, Title string }
	if !read(w, r, &body) {
		return
	}
	if _, taken := g.folders[body.UID]; taken {
		answer(w, http.StatusPreconditionFailed, map[string]any{"message": "a folder with the same uid already exists"})
		return
	}
	g.folders[body.UID] = body.Title
	answer(w, http.StatusOK, map[string]any{"id": 1, "uid": body.UID, "title": body.Title})
}

func (g *grafana) getDashboard(w http.ResponseWriter, r *http.Request) {
	s, ok := g.dashboards[r.PathValue("uid")]
	if !ok {
		answer(w, http.StatusNotFound, map[string]any{"message": "Dashboard not found"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"meta": map[string]any{"folderUid": s.folder, "version": s.version}, "dashboard": s.dashboard})
}

func (g *grafana) postDashboard(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Dashboard map[string]any
		FolderUID string
		Message   string
		Overwrite bool
	}
	if !read(w, r, &body) {
		return
	}
	uid, _ := body.Dashboard["uid"].(string)
	old, known := g.dashboards[uid]
	switch {
	case uid == "" || body.Dashboard["title"] == "" || body.Dashboard["id"] != nil:
		answer(w, http.StatusBadRequest, map[string]any{"message": "Dashboard title cannot be empty"})
		return
	case g.folders[body.FolderUID] == "":
		answer(w, http.StatusBadRequest, map[string]any{"message": "folder not found"})
		return
	case known && !body.Overwrite:
		answer(w, http.StatusPreconditionFailed, map[string]any{"message": "The dashboard has been changed by someone else", "status": "version-mismatch"})
		return
	}
	s := saved{body.FolderUID, old.version + 1, body.Dashboard}
	s.dashboard["id"], s.dashboard["version"] = 7, s.version
	g.dashboards[uid] = s
	answer(w, http.StatusOK, map[string]any{"id": 7, "uid": uid, "status": "success", "version": s.version})
}

func (g *grafana) getRules(w http.ResponseWriter, r *http.Request) {
	group, ok := g.rules[r.PathValue("folder")+"/"+r.PathValue("group")]
	if !ok {
		answer(w, http.StatusNotFound, map[string]any{"message": "rule group does not exist"})
		return
	}
	answer(w, http.StatusOK, group)
}

// putRules takes what the SDK's strict reader takes, and adds what Grafana does.
func (g *grafana) putRules(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	group := alerting.NewRuleGroup()
	if err != nil || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Disable-Provenance") != "true" || group.UnmarshalJSONStrict(body) != nil {
		answer(w, http.StatusBadRequest, map[string]any{"message": "bad request data"})
		return
	}
	folder := r.PathValue("folder")
	if g.folders[folder] == "" || *group.FolderUid != folder || *group.Title != r.PathValue("group") {
		answer(w, http.StatusBadRequest, map[string]any{"message": "folder not found"})
		return
	}
	for n := range group.Rules {
		id, paused := int64(n+1), false
		group.Rules[n].Id, group.Rules[n].IsPaused, group.Rules[n].OrgID = &id, &paused, 7
	}
	g.rules[folder+"/"+*group.Title] = *group
	answer(w, http.StatusOK, group)
}

func install(t *testing.T, url, token string) ([]installer.Result, error) {
	t.Helper()
	i, err := installer.New(installer.Config{URL: url, Token: token, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	built, err := dashboards.Build()
	if err != nil {
		t.Fatal(err)
	}
	var texts [][]byte
	for _, b := range built {
		texts = append(texts, b.JSON)
	}
	return i.Install(t.Context(), texts...)
}

// A second install changes nothing; one after a person's edit restores that dashboard.
func TestInstall(t *testing.T) {
	g, url := startGrafana(t)
	changes := func() map[installer.Change]int {
		t.Helper()
		results, err := install(t, url, token)
		if err != nil {
			t.Fatal(err)
		}
		n := map[installer.Change]int{}
		for _, r := range results {
			n[r.Change]++
		}
		return n
	}
	all := len(dashboards.All())
	if diff := cmp.Diff(map[installer.Change]int{installer.Created: all}, changes()); diff != "" {
		t.Errorf("first install (-want +got):\n%s", diff)
	}
	if len(g.dashboards) != all || g.folders["custody"] != "Custody" {
		t.Errorf("%d dashboards, folders %v", len(g.dashboards), g.folders)
	}
	g.requests = nil
	if diff := cmp.Diff(map[installer.Change]int{installer.Unchanged: all}, changes()); diff != "" {
		t.Errorf("second install (-want +got):\n%s", diff)
	}
	for _, r := range g.requests {
		if strings.HasPrefix(r, "POST") {
			t.Errorf("second install sends %s", r)
		}
	}
	g.dashboards["custody-overview"].dashboard["title"] = "Mine"
	moved := g.dashboards["custody-server"]
	moved.folder = "elsewhere"
	g.dashboards["custody-server"] = moved
	if diff := cmp.Diff(map[installer.Change]int{installer.Updated: 2, installer.Unchanged: all - 2}, changes()); diff != "" {
		t.Errorf("install after an edit (-want +got):\n%s", diff)
	}
	if s := g.dashboards["custody-overview"]; s.dashboard["title"] != "Custody: Overview" || s.version != 2 {
		t.Errorf("the edited dashboard is %q, version %d", s.dashboard["title"], s.version)
	}
}

// Alert rules are installed once; a rule that was paused stays so, one that was
// changed or taken away comes back.
func TestInstallAlerts(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	board.RegisterQuery()
	g, url := startGrafana(t)
	group, err := dashboards.BuildAlerts(alert.Sources{ClickHouse: "ch", Prometheus: "prom"}, "custody")
	if err != nil {
		t.Fatal(err)
	}
	i, err := installer.New(installer.Config{URL: url, Token: token, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, want installer.Change) {
		t.Helper()
		g.requests = nil
		r, err := i.InstallAlerts(t.Context(), group)
		if err != nil || r.Change != want || r.UID != "custody" {
			t.Errorf("%s: %+v, %v; want %s", what, r, err, want)
		}
		if wrote := strings.Contains(strings.Join(g.requests, " "), "PUT"); wrote != (want != installer.Unchanged) {
			t.Errorf("%s: sends %v", what, g.requests)
		}
	}
	has := func() []alerting.Rule { return g.rules["custody/custody"].Rules }
	expect("nothing is there", installer.Created)
	expect("all is there", installer.Unchanged)
	if len(has()) != len(group.Rules) || *has()[0].Uid != *group.Rules[0].Uid {
		t.Errorf("%d rules, want %d", len(has()), len(group.Rules))
	}
	paused := true
	has()[0].IsPaused = &paused
	expect("one is paused", installer.Unchanged)
	has()[1].For = "1h"
	expect("one is changed", installer.Updated)
	less := g.rules["custody/custody"]
	less.Rules = less.Rules[1:]
	g.rules["custody/custody"] = less
	expect("one is gone", installer.Updated)
	expect("all is there again", installer.Unchanged)
	if elsewhere, err := dashboards.BuildAlerts(alert.Sources{}, "elsewhere"); err != nil {
		t.Fatal(err)
	} else if _, err := i.InstallAlerts(t.Context(), elsewhere); err == nil {
		t.Error("rules for another folder are installed")
	}
}

// A refusal says what Grafana said, and never the token.
func TestRefused(t *testing.T) {
	_, url := startGrafana(t)
	const wrong = "glsa_of_somebody_else"
	if _, err := install(t, url, wrong); err == nil || !strings.Contains(err.Error(), "401: Invalid API key") || strings.Contains(err.Error(), wrong) {
		t.Errorf("with another token: %v", err)
	}
	if _, err := install(t, strings.TrimSuffix(url, "grafana/"), token); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("at another path: %v", err)
	}
	for _, bad := range []string{"", "grafana.example", "ftp://grafana.example", "http://"} {
		if _, err := installer.New(installer.Config{URL: bad, Token: token, Logger: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("url %q is accepted", bad)
		}
	}
}
