package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/custody-audit/custody/schemas/event"
)

//go:embed page
var pageFiles embed.FS

// views are the templates of pages by name, each with the layout around it.
type views map[string]*template.Template

func newViews(a *assets) (views, error) {
	files, err := fs.Glob(pageFiles, "page/*.html")
	if err != nil {
		return nil, err
	}
	shared, err := template.New("layout").Funcs(functions).Funcs(template.FuncMap{"icon": func() string { return a.byName["custody.svg"] }}).
		ParseFS(pageFiles, "page/layout.html", "page/parts.html", "page/graph.html")
	if err != nil {
		return nil, err
	}
	v := views{}
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" || name == "parts" || name == "graph" {
			continue
		}
		t, err := shared.Clone()
		if err == nil {
			v[name], err = t.ParseFS(pageFiles, file)
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

// write makes the page before a byte of it leaves.
func (v views) write(w http.ResponseWriter, status int, name string, f *frame) error {
	t := v[name]
	if t == nil {
		return fmt.Errorf("no page %q", name)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout.html", f); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // the client is gone when this fails
	return nil
}

var functions = template.FuncMap{
	"show":    show,
	"short":   short,
	"when":    when,
	"count":   count,
	"plural":  plural,
	"list":    func(values ...any) []any { return values },
	"prose":   prose,
	"visible": func(s string) string { return event.Visible(s, "") },
	"tagged":  tagged,
	"value":   value,
	"join":    func(values []string) template.HTML { return show(strings.Join(values, ", ")) },
	"words":   func(s string) string { return strings.ReplaceAll(s, "_", " ") },

	"label": label, "row": row, "named": nameOf, "server": serverOf, "lasts": lasts, "segment": url.PathEscape,
	"text": func(s string) string { return event.Visible(s, "\n\t") }, "int": func(n uint32) int { return int(n) },
	"indent": func(depth int) string { return strings.Repeat("  ", depth) },
}

// shownAtOnce is how much of a text a page shows before it is asked for the rest, in
// characters.
const shownAtOnce = 160

// show is what events say, as text: control characters visible, isolated from the
// direction of what is around it, and long ones cut, with the rest a click away.
func show(value any) template.HTML {
	s := event.Visible(fmt.Sprint(value), "")
	if s == "" {
		return ""
	}
	if n := utf8.RuneCountInString(s); n > shownAtOnce {
		return template.HTML(`<details class="long"><summary>` + isolated(firstRunes(s, shownAtOnce)+"…") + ` <span class="dim">` +
			fmt.Sprintf("%s characters", count(n)) + `</span></summary>` + isolated(s) + `</details>`)
	}
	return template.HTML(isolated(s))
}

// short is a reference, an id or a hash whose end does not matter to people; all of
// it is in the title.
func short(value any) template.HTML {
	s := event.Visible(fmt.Sprint(value), "")
	const keep = 18
	if utf8.RuneCountInString(s) <= keep {
		return template.HTML(isolated(s))
	}
	return template.HTML(`<bdi title="` + template.HTMLEscapeString(firstRunes(s, 400)) + `">` + template.HTMLEscapeString(firstRunes(s, keep)) + "…</bdi>")
}

func isolated(s string) string { return "<bdi>" + template.HTMLEscapeString(s) + "</bdi>" }

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// when is a time: UTC, which console.js turns into the viewer's zone.
func when(value any) template.HTML {
	var t time.Time
	switch v := value.(type) {
	case time.Time:
		t = v
	case *time.Time:
		if v != nil {
			t = *v
		}
	case event.Time:
		if v != 0 {
			t = v.Go()
		}
	}
	if t.IsZero() || t.Unix() == 0 {
		return `<span class="dim">never</span>`
	}
	t = t.UTC()
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339Nano) + `" title="` + t.Format("2006-01-02 15:04:05.000 UTC") + `">` + t.Format("2006-01-02 15:04:05 UTC") + `</time>`)
}

// value shows a fact by what it is.
func value(v any) template.HTML {
	switch v := v.(type) {
	case event.Time:
		return when(v)
	case event.Effect:
		return tagged(string(v))
	}
	return show(v)
}

var (
	listItem = regexp.MustCompile(`^(\d+\.|[-*]) `)
	codeSpan = regexp.MustCompile("`([^`]+)`")
)

// prose shows the words of a rule, which are Markdown: its paragraphs, items and code.
func prose(text string) template.HTML {
	var sb strings.Builder
	inside := false // of a paragraph or an item
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if begins := listItem.MatchString(line); line == "" || begins || !inside {
			if inside {
				sb.WriteString("</p>")
			}
			if inside = line != ""; inside {
				sb.WriteString("<p>")
			}
		} else {
			sb.WriteByte(' ')
		}
		sb.WriteString(codeSpan.ReplaceAllString(template.HTMLEscapeString(event.Visible(line, "")), "<code>$1</code>"))
	}
	if inside {
		sb.WriteString("</p>")
	}
	return template.HTML(sb.String())
}

// count writes a number with its thousands apart.
func count(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural is a number with the word for it.
func plural(n any, one string) string {
	if fmt.Sprint(n) == "1" {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}
