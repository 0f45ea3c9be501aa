package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"github.com/grafana/grafana-foundation-sdk/go/alerting"
)

// InstallAlerts puts a group of alert rules into the folder. A group that holds
// ours as they are stays untouched, and so what people paused in it; another one
// of its name is replaced as a whole. Rules that came from files of Grafana's
// provisioning are refused by it.
func (i *Installer) InstallAlerts(ctx context.Context, group alerting.RuleGroup) (Result, error) {
	if group.Title == nil || group.FolderUid == nil || *group.FolderUid != i.cfg.FolderUID {
		return Result{}, errors.New("the group of alert rules has no title, or is for another folder")
	}
	if err := i.folder(ctx); err != nil {
		return Result{}, err
	}
	r := Result{UID: *group.Title, Title: fmt.Sprintf("%d alert rules", len(group.Rules)), Change: Created}
	text, err := json.Marshal(group)
	if err != nil {
		return r, err
	}
	var want, have map[string]any
	if err := json.Unmarshal(text, &want); err != nil {
		return r, err
	}
	path := []string{"api", "v1", "provisioning", "folder", i.cfg.FolderUID, "rule-groups", *group.Title}
	found, err := i.get(ctx, &have, path...)
	switch {
	case err != nil:
		return r, err
	case found && holds(have, want):
		r.Change = Unchanged
	case found:
		r.Change = Updated
	}
	if r.Change != Unchanged {
		err = i.write(ctx, http.MethodPut, want, path)
	}
	if err == nil {
		i.cfg.Logger.InfoContext(ctx, "alert rules installed", "group", r.UID, "change", r.Change)
	}
	return r, err
}

// numbered is what Grafana sets itself, whatever it is sent.
var numbered = map[string]bool{"orgID": true}

// holds tells whether what Grafana has says all that we want: it adds ids, times
// and defaults.
func holds(have, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		if !ok {
			return false
		}
		for key, value := range want {
			if !numbered[key] && !holds(have[key], value) {
				return false
			}
		}
		return true
	case []any:
		have, ok := have.([]any)
		if !ok || len(have) != len(want) {
			return false
		}
		for n := range want {
			if !holds(have[n], want[n]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(have, want)
}
