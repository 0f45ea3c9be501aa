package dashboards_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/dashboards/board"
)

func build(t *testing.T) []dashboards.Built {
	t.Helper()
	built, err := dashboards.Build()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// The committed files are what the code makes, all of them and no other, and
// making them again gives the same bytes.
func TestCommitted(t *testing.T) {
	files, err := filepath.Glob("grafana/*")
	if err != nil {
		t.Fatal(err)
	}
	again := build(t)
	var want []string
	for i, b := range build(t) {
		name := filepath.Join("grafana", b.Name+".json")
		want = append(want, name)
		if !bytes.Equal(b.JSON, again[i].JSON) {
			t.Errorf("%s: two builds differ", b.Name)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		} else if diff := cmp.Diff(string(text), string(b.JSON)); diff != "" {
			t.Errorf("%s is not current, run \"go generate ./dashboards\" (-committed +code):\n%s", name, diff)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// The reference page is what the code makes.
func TestReference(t *testing.T) {
	page, err := dashboards.Reference()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("..", "docs", "reference", "dashboards.md"), page)
}

// The JSON passes the SDK's strict reader, which knows our queries too, and
// comes out of it as it went in.
func TestStrict(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	board.RegisterQuery()
	for _, b := range build(t) {
		var d dashboard.Dashboard
		if err := d.UnmarshalJSONStrict(b.JSON); err != nil {
			t.Errorf("%s: %v", b.Name, err)
			continue
		}
		var before, after any
		text, err := json.Marshal(d)
		if err == nil {
			err = json.Unmarshal(text, &after)
		}
		if err == nil {
			err = json.Unmarshal(b.JSON, &before)
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after, cmp.FilterValues(bothNothing, cmp.Ignore())); diff != "" {
			t.Errorf("%s read and written again (-before +after):\n%s", b.Name, diff)
		}
	}
	broken := bytes.Replace(build(t)[0].JSON, []byte(`"rawSql"`), []byte(`"rawSQLs"`), 1)
	if err := new(dashboard.Dashboard).UnmarshalJSONStrict(broken); err == nil {
		t.Error("a query with an unknown field passes the strict reader")
	}
}

// bothNothing holds for an empty list and null: the SDK reads one as the other.
func bothNothing(a, b any) bool {
	nothing := func(v any) bool {
		list, ok := v.([]any)
		return v == nil || ok && len(list) == 0
	}
	return nothing(a) && nothing(b)
}

// Each panel says what it is and what it shows when there is nothing; ids and
// UIDs are unique; no two panels lie on one another.
func TestPanels(t *testing.T) {
	uids := map[string]bool{}
	for _, b := range build(t) {
		if uid := *b.Dashboard.Uid; uids[uid] {
			t.Errorf("two dashboards have uid %s", uid)
		}
		uids[*b.Dashboard.Uid] = true
		ids, cells := map[uint32]bool{}, map[[2]uint32]string{}
		for _, p := range b.Dashboard.Panels {
			if p.RowPanel != nil {
				if ids[p.RowPanel.Id] {
					t.Errorf("%s: two panels have id %d", b.Name, p.RowPanel.Id)
				}
				ids[p.RowPanel.Id] = true
				continue
			}
			checkPanel(t, b.Name, p.Panel)
			if ids[*p.Panel.Id] {
				t.Errorf("%s: two panels have id %d", b.Name, *p.Panel.Id)
			}
			ids[*p.Panel.Id] = true
			for x := p.Panel.GridPos.X; x < p.Panel.GridPos.X+p.Panel.GridPos.W; x++ {
				for y := p.Panel.GridPos.Y; y < p.Panel.GridPos.Y+p.Panel.GridPos.H; y++ {
					if other := cells[[2]uint32{x, y}]; other != "" || x >= board.Full {
						t.Fatalf("%s: panel %q lies on %q or over the edge", b.Name, *p.Panel.Title, other)
					}
					cells[[2]uint32{x, y}] = *p.Panel.Title
				}
			}
		}
	}
}

func checkPanel(t *testing.T, name string, p *dashboard.Panel) {
	t.Helper()
	for _, part := range []string{"**One row:**", "**Units:**", "**Not covered:**"} {
		if !strings.Contains(*p.Description, part) {
			t.Errorf("%s: panel %q has no %s", name, *p.Title, part)
		}
	}
	if p.FieldConfig.Defaults.NoValue == nil || *p.FieldConfig.Defaults.NoValue == "" {
		t.Errorf("%s: panel %q says nothing when it is empty", name, *p.Title)
	}
	if len(p.Targets) == 0 {
		t.Errorf("%s: panel %q asks nothing", name, *p.Title)
	}
}

var (
	linkPattern  = regexp.MustCompile(`"url": "/d/(custody-\w+)\?([^"]*)"`)
	valuePattern = regexp.MustCompile(`^var-(\w+)=\$\{__data\.fields\.(\w+):percentencode\}$`)
)

// Each link leads to a dashboard that is there, and sets variables that it has
// from columns that the panel's queries give.
func TestLinks(t *testing.T) {
	variables := map[string][]string{}
	for _, b := range build(t) {
		for _, v := range b.Dashboard.Templating.List {
			variables[*b.Dashboard.Uid] = append(variables[*b.Dashboard.Uid], v.Name)
		}
	}
	links := 0
	for _, b := range build(t) {
		for _, p := range b.Dashboard.Panels {
			if p.Panel == nil {
				continue
			}
			text, err := json.MarshalIndent(p.Panel.FieldConfig, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range linkPattern.FindAllStringSubmatch(strings.ReplaceAll(string(text), `\u0026`, "&"), -1) {
				links++
				if variables[m[1]] == nil {
					t.Errorf("%s: a link of %q leads to %s", b.Name, *p.Panel.Title, m[1])
				}
				checkLink(t, b.Name, p.Panel, variables[m[1]], strings.Split(m[2], "&")[2:])
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links looked at", links)
	}
}

func checkLink(t *testing.T, name string, p *dashboard.Panel, variables, pairs []string) {
	t.Helper()
	for _, pair := range pairs {
		m := valuePattern.FindStringSubmatch(pair)
		if m == nil || !slices.Contains(variables, m[1]) {
			t.Errorf("%s: a link of %q sets %s, which is no variable there", name, *p.Title, pair)
			continue
		}
		known := false
		for _, target := range p.Targets {
			sql := target.(*board.Query).SQL
			known = known || regexp.MustCompile(`(?m)^\s*(AS )?`+m[2]+`,?$|\bAS `+m[2]+`\b`).MatchString(sql)
		}
		if !known {
			t.Errorf("%s: a link of %q takes %s, which is no column", name, *p.Title, m[2])
		}
	}
}

// What is counted is what the JSON holds.
func TestStats(t *testing.T) {
	for _, b := range build(t) {
		s, text := b.Stats(), string(b.JSON)
		if links := strings.Count(text, `"url": "/d/`); s.Links != links {
			t.Errorf("%s: %d links, the JSON has %d", b.Name, s.Links, links)
		}
		if queries := strings.Count(text, `"rawSql": `) - len(b.Dashboard.Annotations.List) + strings.Count(text, `"expr": `); s.Queries != queries || s.Panels == 0 || s.Panels > s.Queries {
			t.Errorf("%s: %+v, the JSON has %d queries", b.Name, s, queries)
		}
	}
}
