package notify

import (
	"fmt"
	"strings"

	"github.com/custody-audit/custody/processor/worklist"
)

// cefSeverities are those of CEF, 0 to 10.
var cefSeverities = map[string]int{"info": 1, "low": 3, "medium": 5, "high": 8, "critical": 10}

var (
	cefHeader = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\n", " ", "\r", " ", "\x00", "")
	cefValue  = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`, "\x00", "")
)

// CEF writes a finding as a line of the Common Event Format, version 0.
func CEF(m *Message) string {
	f := m.Finding
	var sb strings.Builder
	fmt.Fprintf(&sb, "CEF:0|Custody|Custody|1|%s|%s|%d|", cefHeader.Replace(f.Rule), cefHeader.Replace(f.Title), cefSeverities[f.Severity])
	var extension []string
	for _, x := range cefFields(m, f) {
		if value := cefValue.Replace(short(x[1])); value != "" {
			extension = append(extension, x[0]+"="+value)
		}
	}
	return sb.String() + strings.Join(extension, " ")
}

// cefFields are the keys of CEF's own dictionary where it has one, and else its
// custom strings with labels.
func cefFields(m *Message, f *worklist.Finding) [][2]string {
	out := [][2]string{
		{"rt", fmt.Sprint(f.UpdatedTime.UnixMilli())}, {"start", fmt.Sprint(f.FirstSeen.UnixMilli())}, {"end", fmt.Sprint(f.LastSeen.UnixMilli())},
		{"externalId", f.Key}, {"cat", f.Rule}, {"act", f.Status}, {"msg", f.Summary}, {"reason", f.Reason},
		{"suser", f.Subject}, {"sproc", f.Actor}, {"dhost", f.Server}, {"dproc", f.Tool},
	}
	for i, x := range [][2]string{{"tenant", f.Tenant}, {"messageId", m.ID.String()}, {"tokenRef", f.TokenRef}, {"chain", f.Chain}, {"assignee", f.Assignee}, {"traceId", f.TraceID}} {
		if x[1] != "" {
			out = append(out, [2]string{fmt.Sprintf("cs%dLabel", i+1), x[0]}, [2]string{fmt.Sprintf("cs%d", i+1), x[1]})
		}
	}
	return out
}

// short is what CEF's dictionary allows a string, in bytes.
func short(s string) string {
	const most = 1023
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
