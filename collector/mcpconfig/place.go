package mcpconfig

import (
	"path"
	"slices"
	"strings"
)

// place is a file in which a client keeps its servers: its path below a home or a
// project, with slashes.
type place struct{ path, client string }

// settings are the folders below a home that hold the settings of applications: on
// Linux, macOS and Windows. All are looked at everywhere: a home may be mounted from
// another system.
var settings = []string{".config", "Library/Application Support", "AppData/Roaming"}

// below are files in one of those folders.
var below = append([]place{
	{"Claude/claude_desktop_config.json", "Claude Desktop"},
	{"zed/settings.json", "Zed"},
}, editors()...)

// editors are VS Code, its builds, and the extensions that keep their own list.
func editors() (places []place) {
	for _, e := range []struct{ folder, client string }{{"Code", "VS Code"}, {"Code - Insiders", "VS Code"}, {"VSCodium", "VSCodium"}} {
		places = append(places,
			place{e.folder + "/User/mcp.json", e.client},
			place{e.folder + "/User/settings.json", e.client},
			place{e.folder + "/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json", "Cline"},
			place{e.folder + "/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json", "Roo Code"})
	}
	return places
}

// projects are files in a project's folder; some clients have them in a home too.
var projects = []place{
	{".mcp.json", "Claude Code"},
	{".cursor/mcp.json", "Cursor"},
	{".vscode/mcp.json", "VS Code"},
	{".vscode/settings.json", "VS Code"},
	{".gemini/settings.json", "Gemini CLI"},
	{".amazonq/mcp.json", "Amazon Q"},
	{".kiro/settings/mcp.json", "Kiro"},
	{".junie/mcp/mcp.json", "Junie"},
	{".roo/mcp.json", "Roo Code"},
	{".zed/settings.json", "Zed"},
}

// homes are the other files in a home.
var homes = []place{
	{".claude.json", "Claude Code"},
	{".codeium/windsurf/mcp_config.json", "Windsurf"},
	{".copilot/mcp-config.json", "Copilot CLI"},
	{".aws/amazonq/mcp.json", "Amazon Q"},
	{".lmstudio/mcp.json", "LM Studio"},
}

// known are all files of a home.
var known = func() []place {
	all := slices.Concat(homes, projects)
	for _, folder := range settings {
		for _, p := range below {
			all = append(all, place{folder + "/" + p.path, p.client})
		}
	}
	return all
}()

// names are of files that hold servers wherever they stand.
var names = []string{
	"mcp.json", ".mcp.json", "mcp_config.json", "mcp-config.json", "mcp_settings.json", "cline_mcp_settings.json",
	"claude_desktop_config.json", ".claude.json", "managed-mcp.json",
}

// skipped are folders that hold what others wrote, much of it.
var skipped = []string{"node_modules", ".git", ".hg", ".svn", ".venv", "venv", "site-packages", "__pycache__"}

// recognise tells whether a file that a search met is one of a client, and which.
func recognise(file string) (client string, ok bool) {
	for _, p := range slices.Concat(homes, projects, below) {
		if file == p.path || strings.HasSuffix(file, "/"+p.path) {
			return p.client, true
		}
	}
	return "", slices.Contains(names, path.Base(file))
}
