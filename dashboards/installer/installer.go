// Package installer puts dashboards and alert rules into a Grafana through its HTTP API.
//
// It is the last step of package dashboards and may be repeated: what is as it
// should be stays untouched, so that a Grafana that is up to date gets no new
// version of anything. It needs a service account's token with the role Editor.
// A dashboard with one of our UIDs is overwritten, also when people changed it
// or moved it to another folder. Data sources are not created: each dashboard
// has a variable that chooses one, and alert rules name theirs.
package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"time"
)

// Config is what an Installer needs.
type Config struct {
	// URL of Grafana, with its path if it is served below one. Required.
	URL string
	// Token of a service account. Required; it is sent to URL only.
	Token string
	// FolderUID and FolderTitle name the folder; empty are "custody" and
	// "Custody". An existing folder keeps its title.
	FolderUID, FolderTitle string
	// Client sends the requests; nil is one that gives up after 30 s.
	Client *http.Client
	Logger *slog.Logger
}

// Change says what became of a dashboard.
type Change string

// The changes.
const (
	Created   Change = "created"
	Updated   Change = "updated"
	Unchanged Change = "unchanged"
)

// Result is what became of one dashboard.
type Result struct {
	UID    string `json:"uid"`
	Title  string `json:"title"`
	Change Change `json:"change"`
}

// Installer is safe for concurrent use, but two installs of the same dashboards
// at once may both write them.
type Installer struct {
	cfg  Config
	base *url.URL
}

// New returns an Installer; nothing is sent yet.
func New(cfg Config) (*Installer, error) {
	if cfg.Token == "" || cfg.Logger == nil {
		return nil, errors.New("installer: Token and Logger are required")
	}
	base, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("grafana url: %w", err)
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("grafana url %q: want http(s)://host[:port][/path]", cfg.URL)
	}
	if cfg.FolderUID == "" {
		cfg.FolderUID = "custody"
	}
	if cfg.FolderTitle == "" {
		cfg.FolderTitle = "Custody"
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: 30 * time.Second}
	}
	return &Installer{cfg, base}, nil
}

// Install puts dashboards, each one's JSON, into the folder. It stops at the
// first that Grafana refuses and returns what it did until then.
func (i *Installer) Install(ctx context.Context, dashboards ...[]byte) ([]Result, error) {
	if err := i.folder(ctx); err != nil {
		return nil, err
	}
	var done []Result
	for _, d := range dashboards {
		r, err := i.dashboard(ctx, d)
		if err != nil {
			return done, err
		}
		done = append(done, r)
		i.cfg.Logger.InfoContext(ctx, "dashboard installed", "uid", r.UID, "change", r.Change)
	}
	return done, nil
}

func (i *Installer) folder(ctx context.Context) error {
	found, err := i.get(ctx, nil, "api", "folders", i.cfg.FolderUID)
	if err != nil || found {
		return err
	}
	return i.post(ctx, map[string]any{"uid": i.cfg.FolderUID, "title": i.cfg.FolderTitle}, "api", "folders")
}

// stored is what Grafana answers for a dashboard.
type stored struct {
	Dashboard map[string]any `json:"dashboard"`
	Meta      struct {
		FolderUID string `json:"folderUid"`
	} `json:"meta"`
}

func (i *Installer) dashboard(ctx context.Context, text []byte) (Result, error) {
	want := map[string]any{}
	if err := json.Unmarshal(text, &want); err != nil {
		return Result{}, fmt.Errorf("read dashboard: %w", err)
	}
	uid, _ := want["uid"].(string)
	title, _ := want["title"].(string)
	if uid == "" || title == "" {
		return Result{}, errors.New("the dashboard has no uid or no title")
	}
	r := Result{UID: uid, Title: title, Change: Created}
	var have stored
	found, err := i.get(ctx, &have, "api", "dashboards", "uid", uid)
	if err != nil {
		return r, err
	}
	if found && have.Meta.FolderUID == i.cfg.FolderUID && same(have.Dashboard, want) {
		r.Change = Unchanged
		return r, nil
	}
	if found {
		r.Change = Updated
	}
	want["id"] = nil // Grafana finds it by its uid
	return r, i.post(ctx, map[string]any{
		"dashboard": want, "folderUid": i.cfg.FolderUID, "overwrite": true, "message": "custody dashboards push",
	}, "api", "dashboards", "db")
}

// same compares what Grafana has with what we made, but for what Grafana numbers.
func same(have, want map[string]any) bool {
	have, want = maps.Clone(have), maps.Clone(want)
	for _, key := range []string{"id", "version"} {
		delete(have, key)
		delete(want, key)
	}
	return reflect.DeepEqual(have, want)
}
