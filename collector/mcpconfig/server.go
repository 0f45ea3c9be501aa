package mcpconfig

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/custody-audit/custody/collector/redact"
)

// server is one entry of a configuration.
type server struct {
	name, within string
	raw          map[string]json.RawMessage
}

// finding is one secret and where it stands. The secret goes no further than
// its reference.
type finding struct {
	place, member string // "env.GITHUB_TOKEN", "GITHUB_TOKEN"
	kind          string // as token.token_type has it
	secret        string
}

// urls are the members in which the clients have a server's address.
var urls = []string{"url", "serverUrl", "httpUrl", "uri"}

// uri is the server's address without what may be secret in it.
func (s *server) uri() string {
	for _, name := range urls {
		u, err := url.Parse(text(s.raw[name]))
		if err != nil || u.Host == "" {
			continue
		}
		segments := strings.Split(u.Path, "/")
		for i, segment := range segments {
			if keyLike(segment) {
				segments[i] = redact.Redacted
			}
		}
		return u.Scheme + "://" + u.Host + strings.Join(segments, "/")
	}
	return ""
}

// placed adds to findings whose they are.
func (s *server) placed(findings []finding) (out []placed) {
	uri := s.uri()
	for _, f := range findings {
		out = append(out, placed{Within: s.within, Server: s.name, URI: uri, Place: f.place, Member: f.member, Kind: f.kind, Secret: f.secret})
	}
	return out
}

// groups are the members whose own members may be credentials.
var groups = []string{"env", "headers", "http_headers", "auth", "oauth"}

// each visits every text in which findings looks.
func (s *server) each(visit func(place, member, text string)) {
	for _, group := range groups {
		var members map[string]json.RawMessage
		if json.Unmarshal(s.raw[group], &members) != nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			visit(group+"."+name, name, text(members[name]))
		}
	}
	for _, name := range append(urls, "command") {
		visit(name, name, text(s.raw[name]))
	}
	var args []json.RawMessage
	if json.Unmarshal(s.raw["args"], &args) == nil {
		for i, raw := range args {
			visit(fmt.Sprintf("args[%d]", i), "args", text(raw))
		}
	}
}

// findings looks through every member that can hold a credential.
func (s *server) findings() []finding {
	var out []finding
	for _, group := range groups {
		var members map[string]json.RawMessage
		if json.Unmarshal(s.raw[group], &members) != nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			out = append(out, named(group+"."+name, name, text(members[name]))...)
		}
	}
	for _, name := range urls {
		out = append(out, plain(name, name, text(s.raw[name]))...)
	}
	return append(out, s.command()...)
}

// command looks through the command line: the program and its arguments.
func (s *server) command() []finding {
	out := line("command", text(s.raw["command"]))
	var args []json.RawMessage
	if json.Unmarshal(s.raw["args"], &args) != nil {
		return out
	}
	flag := "" // the one before, when its value is the next argument
	for i, raw := range args {
		arg, place := text(raw), fmt.Sprintf("args[%d]", i)
		switch {
		case flag != "" && !strings.HasPrefix(arg, "-"):
			out = append(out, named(place, flag, arg)...)
			flag = ""
		default:
			out = append(out, line(place, arg)...)
			flag = ""
			if strings.HasPrefix(arg, "-") && !strings.ContainsAny(arg, "= ") && secretName(arg) {
				flag = strings.TrimLeft(arg, "-")
			}
		}
	}
	return out
}

// line reads one argument, and word by word one that is a command line itself:
// it begins with an assignment, or says nothing as a whole.
func line(place, arg string) []finding {
	words := strings.Fields(arg)
	assigns := len(words) > 1 && strings.Contains(words[0], "=") && !strings.HasPrefix(arg, "-")
	if !assigns {
		if out := argument(place, arg); len(out) > 0 || len(words) < 2 {
			return out
		}
	}
	var out []finding
	for _, word := range words[:min(len(words), 256)] {
		out = append(out, argument(place, word)...)
	}
	return out
}

// argument reads "--name=value", "NAME=value" and "Header: value"; what stands
// behind an option that is no secret itself ("--header=X: y") is read again.
func argument(place, arg string) []finding {
	for depth := 0; depth < 3; depth++ {
		at := strings.IndexAny(arg, "=:")
		if at <= 0 || strings.HasPrefix(arg[at:], "://") || !isName(arg[:at]) {
			break
		}
		name, value := strings.TrimLeft(arg[:at], "-"), strings.Trim(arg[at+1:], " \t\"'")
		if secretName(name) {
			return named(place+" "+name, name, value)
		}
		arg = value
	}
	return plain(place, place, arg)
}

// isName says that s can be the name of an option, a variable or a header.
func isName(s string) bool {
	return len(s) <= 128 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == ""
}

// text reads a JSON string or number: a password may be written as a number.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}
