package mcpconfig

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector/deepscan"
	"github.com/custody-audit/custody/schemas/event"
)

// tree writes files below a folder; a text that begins with "-> " is a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		full := filepath.Join(root, filepath.FromSlash(path))
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		if to, isLink := strings.CutPrefix(text, "-> "); isLink && err == nil {
			err = os.Symlink(strings.ReplaceAll(to, "ROOT", root), full)
		} else if err == nil {
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// one is a configuration with one credential.
func one(list string) string { return `{"` + list + `":{"s":{"env":{"API_TOKEN":"hunter2"}}}}` }

// found returns "path client user credentials" of the files and "path: reason" of the
// problems, paths from root.
func found(root string, r *Report) (files, problems []string) {
	short := func(path string) string {
		return strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(root)+"/")
	}
	for _, f := range r.Files {
		files = append(files, fmt.Sprintf("%s %q %q %d", short(f.Path), f.Client, f.User, f.Credentials()))
	}
	for _, p := range r.Problems {
		problems = append(problems, short(p.Path)+": "+strings.ReplaceAll(p.Reason, root, "ROOT"))
	}
	slices.Sort(files)
	slices.Sort(problems)
	return files, problems
}

func check(t *testing.T, root string, r *Report, files, problems []string) {
	t.Helper()
	gotFiles, gotProblems := found(root, r)
	if diff := cmp.Diff(files, gotFiles); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(problems, gotProblems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestScanHome(t *testing.T) {
	root := tree(t, map[string]string{
		"alice/.claude.json":                                                  `{"history":["hunter2"],"projects":{"/src":{"mcpServers":{"s":{"env":{"API_TOKEN":"hunter2"}}}}},"mcpServers":{"t":{"args":["--token","hunter2"]}}}`,
		"alice/.cursor/mcp.json":                                              one("mcpServers"),
		"alice/.codeium/windsurf/mcp_config.json":                             one("mcpServers"),
		"alice/.gemini/settings.json":                                         one("mcpServers"),
		"alice/.copilot/mcp-config.json":                                      one("mcpServers"),
		"alice/.config/Claude/claude_desktop_config.json":                     one("mcpServers"),
		"alice/Library/Application Support/Claude/claude_desktop_config.json": one("mcpServers"),
		"alice/AppData/Roaming/Code - Insiders/User/mcp.json":                 one("servers"),
		"alice/.config/Code/User/settings.json":                               "\ufeff{ // comment\n\"mcp\": {\"servers\": {\"s\": {\"env\": {\"API_TOKEN\": \"hunter2\"}}}}, /* \" */ \"x\": [1,],}",
		"alice/.config/zed/settings.json":                                     one("context_servers"),
		"alice/.config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json": one("mcpServers"),
		"alice/.vscode/mcp.json":        `{"servers":{"s":{"env":{"API_TOKEN":"${input:token}"}}}}`,
		"alice/.amazonq/mcp.json":       "",
		"alice/.kiro":                   "a file where a folder is looked for",
		"alice/src/elsewhere/mcp.json":  one("mcpServers"), // a home is not searched
		"bob/.cursor/mcp.json":          `{"mcpServers":{`,
		"bob/.gemini/settings.json":     `["hunter2"]`,
		"bob/.zed/settings.json":        `{"context_servers":"hunter2"}`,
		"bob/.vscode/settings.json/dir": "",
	})
	r := Scan(ScanConfig{Homes: []string{root + "/alice", root + "/bob", root + "/nobody"}})
	check(t, root, r, []string{
		`alice/.amazonq/mcp.json "Amazon Q" "alice" 0`,
		`alice/.claude.json "Claude Code" "alice" 2`,
		`alice/.codeium/windsurf/mcp_config.json "Windsurf" "alice" 1`,
		`alice/.config/Claude/claude_desktop_config.json "Claude Desktop" "alice" 1`,
		`alice/.config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json "Cline" "alice" 1`,
		`alice/.config/Code/User/settings.json "VS Code" "alice" 1`,
		`alice/.config/zed/settings.json "Zed" "alice" 1`,
		`alice/.copilot/mcp-config.json "Copilot CLI" "alice" 1`,
		`alice/.cursor/mcp.json "Cursor" "alice" 1`,
		`alice/.gemini/settings.json "Gemini CLI" "alice" 1`,
		`alice/.vscode/mcp.json "VS Code" "alice" 0`,
		`alice/AppData/Roaming/Code - Insiders/User/mcp.json "VS Code" "alice" 1`,
		`alice/Library/Application Support/Claude/claude_desktop_config.json "Claude Desktop" "alice" 1`,
	}, []string{
		`bob/.cursor/mcp.json: is not JSON, with or without comments: line 1`,
		`bob/.gemini/settings.json: holds no JSON object`,
		`bob/.vscode/settings.json: is no regular file`,
		`bob/.zed/settings.json: context_servers: has another JSON type than it must`,
		`nobody: no such file or directory`,
	})
}

// A folder is searched by the names that clients use, without packages of others and
// not too deep; a file that is named is read whatever its name.
func TestScanPaths(t *testing.T) {
	root := tree(t, map[string]string{
		"a/.mcp.json":                            one("mcpServers"),
		"a/.vscode/settings.json":                one("servers"),
		"a/settings.json":                        one("servers"), // of anybody
		"a/package.json":                         one("servers"),
		"a/node_modules/x/.mcp.json":             one("mcpServers"),
		"a/.git/mcp.json":                        one("mcpServers"),
		"homes/alice/.config/Code/User/mcp.json": one("servers"),
		"deep/1/2/mcp.json":                      one("mcpServers"),
		"deep/1/2/3/mcp.json":                    one("mcpServers"),
		"deep/1/2/4/mcp.json":                    one("mcpServers"),
		"notes.txt":                              one("mcpServers"),
	})
	r := Scan(ScanConfig{MaxDepth: 3, Paths: []string{root + "/a", root + "/homes/alice/.config/Code/User", root + "/deep", root + "/notes.txt", root + "/a/.mcp.json", root + "/missing.json"}})
	check(t, root, r, []string{
		`a/.mcp.json "Claude Code" "" 1`,
		`a/.vscode/settings.json "VS Code" "" 1`,
		`deep/1/2/3/mcp.json "" "" 1`,
		`deep/1/2/4/mcp.json "" "" 1`,
		`deep/1/2/mcp.json "" "" 1`,
		`homes/alice/.config/Code/User/mcp.json "VS Code" "" 1`,
		`notes.txt "" "" 1`,
	}, []string{`missing.json: no such file or directory`})
	if r.TooDeep != 0 {
		t.Errorf("%d folders too deep", r.TooDeep)
	}
	r = Scan(ScanConfig{MaxDepth: 2, Paths: []string{root + "/deep"}})
	if len(r.Files) != 1 || r.TooDeep != 2 {
		t.Errorf("%d files, %d folders too deep", len(r.Files), r.TooDeep)
	}
}

func TestScanIsBounded(t *testing.T) {
	root := tree(t, map[string]string{
		"many/1/mcp.json": one("mcpServers"), "many/2/mcp.json": one("mcpServers"), "many/3/mcp.json": one("mcpServers"),
		"large/mcp.json":  `{"x":"` + strings.Repeat("x", 1000) + `"}`,
		"nested/mcp.json": strings.Repeat(`{"a":`, 100_000),
	})
	r := Scan(ScanConfig{MaxFiles: 2, MaxFileBytes: 1000, Paths: []string{root + "/large", root + "/many"}})
	check(t, root, r, []string{`many/1/mcp.json "" "" 1`, `many/2/mcp.json "" "" 1`}, []string{
		`large/mcp.json: is larger than 1000 bytes`,
		`many: holds more than 2 configuration files: raise the limit, or scan its folders one by one`,
	})
	r = Scan(ScanConfig{Paths: []string{root + "/nested"}})
	check(t, root, r, nil, []string{`nested/mcp.json: is not JSON, with or without comments: line 1`})
}

// Who may write into a home or folder does not choose what is read elsewhere; a link
// that was named is followed. What is no file does not hold the scan up.
func TestScanAndLinks(t *testing.T) {
	root := tree(t, map[string]string{
		"secret/mcp.json":            one("mcpServers"),
		"home/dotfiles/claude.json":  one("mcpServers"),
		"home/.claude.json":          "-> dotfiles/claude.json",
		"home/.cursor":               "-> ROOT/secret",
		"home/.gemini/settings.json": "-> ../../secret/mcp.json",
		"home/.mcp.json":             "-> .mcp.json",
		"home/.roo/mcp.json":         "-> nowhere",
		"folder/mcp.json":            "-> ROOT/secret/mcp.json",
		"folder/linked":              "-> ROOT/secret",
		"folder/own/mcp.json":        "-> ../real.json",
		"folder/real.json":           one("mcpServers"),
		"folder/loop":                "-> .",
		"named":                      "-> secret/mcp.json",
		"named-folder":               "-> folder",
	})
	for _, fifo := range []string{"folder/fifo/mcp.json", "home/.kiro/settings/mcp.json"} {
		full := filepath.Join(root, fifo)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(full, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const out = "is a link that leads out of what is scanned: name the file it leads to"
	r := Scan(ScanConfig{Homes: []string{root + "/home"}, Paths: []string{root + "/folder", root + "/named"}})
	check(t, root, r, []string{
		`folder/own/mcp.json "" "" 1`,
		`home/.claude.json "Claude Code" "home" 1`,
		`named "" "" 1`,
	}, []string{
		"folder/fifo/mcp.json: is no regular file",
		"folder/mcp.json: " + out,
		"home/.cursor/mcp.json: " + out,
		"home/.gemini/settings.json: " + out,
		"home/.kiro/settings/mcp.json: is no regular file",
		"home/.mcp.json: too many levels of symbolic links",
		"home/.roo/mcp.json: no such file or directory",
	})
	if r = Scan(ScanConfig{Paths: []string{root + "/named-folder"}}); len(r.Files) != 1 {
		t.Errorf("a folder that was named by a link: %+v", r)
	}
}

// With a finder, what no name and no known form gives away is found too, once.
func TestScanDeeper(t *testing.T) {
	const one, two, three = "f3a9c1d27b4e8065f3a9c1d27b4e8066", "a3a9c1d27b4e8065f3a9c1d27b4e8067", "b3a9c1d27b4e8065f3a9c1d27b4e8068"
	root := tree(t, map[string]string{"mcp.json": `{"mcpServers":{"s":{"env":{"NOTE":"adafruit_key = ` + one + `","ADAFRUIT":"` + two + `","API_TOKEN":"adafruit=` + three + `","PLAIN":"c` + three + `"},
		"args":["x","glpat-` + `aB3dE5fG7hJ9kL1mN3pQ"],"command":"run"}}}`})
	places := func(cfg ScanConfig) (out []string) {
		cfg.Paths = []string{root}
		for _, f := range Scan(cfg).Files {
			for _, found := range f.found {
				out = append(out, found.Place)
			}
		}
		return out
	}
	if diff := cmp.Diff([]string{"env.API_TOKEN", "args[1]"}, places(ScanConfig{})); diff != "" {
		t.Errorf("without (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"env.API_TOKEN", "args[1]", "env.ADAFRUIT", "env.NOTE"}, places(ScanConfig{Find: deepscan.Find})); diff != "" {
		t.Errorf("with (-want +got):\n%s", diff)
	}
}

// The records of a scan are the events of the file as a whole; with a key no secret
// is in them, and without none but in its own place.
func TestRecordsAreTheFilesEvents(t *testing.T) {
	const jwtText = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJmaXh0dXJlIn0.c2lnbmF0dXJl"
	config := `{"mcpServers":{"s":{"url":"https://u:hunter2@h.example/mcp","env":{"API_TOKEN":"hunter3","OTHER_TOKEN":"` + jwtText + `","REF_TOKEN":"hmac:k1:` + strings.Repeat("A", 43) + `","X":"not a secret"}}}}`
	root := tree(t, map[string]string{"mcp.json": config})
	path := filepath.Join(root, "mcp.json")
	at := event.TimeOf(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	file := Scan(ScanConfig{Paths: []string{path}}).Files[0]
	want, err := New("k1", key)(fmt.Appendf(nil, `{"path":%q,"time":%q,"host":"h","user":"u","config":%s}`, path, at.String(), config))
	if err != nil || len(want) != 4 {
		t.Fatalf("%d events, %v", len(want), err)
	}
	for _, here := range [][]byte{nil, key} {
		records, err := file.Records("h", "u", at, "k1", here)
		if err != nil || len(records) != 1 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		collectors := New("k1", key)
		if here != nil {
			collectors = Parse // the references come from here
		}
		got, err := collectors(records[0])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		text := string(records[0])
		if strings.Contains(text, "not a secret") || strings.Contains(text, jwtText) || strings.Contains(text, "hunter") == (here != nil) {
			t.Errorf("the record is %s", text)
		}
	}
}

func TestManyCredentialsAreManyRecords(t *testing.T) {
	var servers []string
	for i := range maxServers {
		servers = append(servers, fmt.Sprintf(`"s%d":{"env":{"A_TOKEN":"hunter2","B_TOKEN":"hunter3"}}`, i))
	}
	root := tree(t, map[string]string{"mcp.json": `{"mcpServers":{` + strings.Join(servers, ",") + `}}`})
	file := Scan(ScanConfig{Paths: []string{root}}).Files[0]
	records, err := file.Records("h", "", 1, "", nil)
	if err != nil || len(records) != 2 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	ids := map[string]bool{}
	for _, record := range records {
		events, err := Parse(record)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			ids[e.Source.EventID] = true
		}
	}
	if len(ids) != 2*maxServers {
		t.Errorf("%d events", len(ids))
	}
}

// What a file holds is in no error, whatever it is.
func FuzzFile(f *testing.F) {
	for _, s := range []string{one("servers"), "{ // x\n \"mcpServers\": {},}", "[", "\xff\xfe{}", `{"mcpServers":{"s":"x"}}`, `{"projects":{"/a":{"mcpServers":{"s":{"args":[1,{}]}}}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := &scan{cfg: ScanConfig{Find: deepscan.Find}}
		all, err := s.credentials(text)
		if err != nil {
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		file := &File{Path: "/p", found: all}
		records, err := file.Records("h", "u", 1, "k1", key)
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range records {
			if _, err := Parse(record); err != nil {
				t.Errorf("%s: %v", record, err)
			}
		}
	})
}
