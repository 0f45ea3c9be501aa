package event

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Fit makes what an outsider can write into a field, a tool's name or a client's,
// fit the bounds that Validate checks, so that nobody keeps an event out of the
// record by making it too large. Texts are cut and cleaned of what is no UTF-8,
// lists and maps are shortened, texts that must be JSON are left out; each with a
// warning. An event that fits is not changed.
func (e *Event) Fit() {
	f := fitter{}
	f.fields("", eventPlan, reflect.ValueOf(e).Elem())
	if f.size > maxPlain {
		f.whole(e)
	}
	if n := MaxList - len(e.Warnings); len(f.warnings) > n {
		f.warnings = f.warnings[:max(n, 0)]
	}
	e.Warnings = append(e.Warnings, f.warnings...)
}

type fitter struct {
	warnings []string
	size     int // bytes of text
}

// maxPlain is how much text makes no event too large, whatever escaping does to
// it; room is left for what a collector adds.
const (
	maxPlain = MaxBytes / 8
	room     = 8 << 10
)

// whole leaves out the longest parts, those first that say least of who did it,
// until the event as a whole is not too large.
func (f *fitter) whole(e *Event) {
	for _, part := range []struct {
		path  string
		clear func()
	}{
		{"tool.arguments", func() { e.Tool.Arguments = "" }},
		{"attributes", func() { e.Attributes = nil }},
		{"tool.argument_names", func() { e.Tool.ArgumentNames = nil }},
		{"chain_raw", func() { e.ChainRaw = "" }},
		{"decision.obligations", func() { e.Decision.Obligations = nil }},
		{"warnings", func() { e.Warnings = nil }},
		{"token.scope", func() { e.Token.Scope = nil }},
		{"exchange", func() {
			x := &e.Exchange
			x.RequestedScope, x.GrantedScope, x.SubjectScope, x.RequestedAudience, x.Resource = nil, nil, nil, nil, nil
		}},
		{"token.audience", func() { e.Token.Audience = nil }},
	} {
		if len(e.Canonical()) <= MaxBytes-room {
			return
		}
		part.clear()
		f.warn(part.path, "left out: the event is too large")
	}
}

func (f *fitter) warn(path, format string, args ...any) {
	f.warnings = append(f.warnings, path+" "+fmt.Sprintf(format, args...))
}

func (f *fitter) fields(item string, p *plan, rv reflect.Value) {
	for i := range p.fields {
		field := &p.fields[i]
		at, fv := field.at(item), rv.Field(field.index)
		switch field.shape {
		case shapeString:
			fv.SetString(f.text(at, fv.String(), maxText(at)))
		case shapeStruct:
			f.fields(field.below(item), field.nested, fv)
		case shapeStrings:
			f.list(at, fv, MaxList)
			for j := range fv.Len() {
				fv.Index(j).SetString(f.text(at+"["+strconv.Itoa(j)+"]", fv.Index(j).String(), MaxString))
			}
		case shapeStructs:
			f.list(at, fv, MaxChain)
			for j := range fv.Len() {
				f.fields(at+"["+strconv.Itoa(j)+"]", field.nested, fv.Index(j))
			}
		case shapeStringMap, shapeBoolMap:
			f.mapping(at, fv)
		}
	}
}

// text returns s within limit.
func (f *fitter) text(path, s string, limit int) string {
	f.size += min(len(s), limit)
	if len(s) <= limit && utf8.ValidString(s) {
		return s
	}
	if path == "tool.arguments" || path == "chain_raw" { // a part of JSON is no JSON
		f.warn(path, "left out: %d bytes, at most %d", len(s), limit)
		return ""
	}
	clean := strings.ToValidUTF8(s, "\uFFFD")
	if len(clean) <= limit {
		f.warn(path, "was not UTF-8")
		return clean
	}
	f.warn(path, "cut: %d bytes, at most %d", len(s), limit)
	cut := limit
	for !utf8.RuneStart(clean[cut]) {
		cut--
	}
	return clean[:cut]
}

func (f *fitter) list(path string, fv reflect.Value, limit int) {
	if n := fv.Len(); n > limit {
		f.warn(path, "cut: %d entries, at most %d", n, limit)
		fv.Set(fv.Slice3(0, limit, limit))
	}
}

// mapping makes a new map when something does not fit, since the old one may be
// somebody else's.
func (f *fitter) mapping(path string, fv reflect.Value) {
	if m, ok := fv.Interface().(map[string]string); ok {
		fits := len(m) <= MaxAttributes
		for k, v := range m {
			fits = fits && fitsKey(k) && len(v) <= MaxString && utf8.ValidString(v)
		}
		if !fits {
			fv.Set(reflect.ValueOf(shorten(f, path, m, func(v string) string { return f.text(path, v, MaxString) })))
		}
	}
	if m, ok := fv.Interface().(map[string]bool); ok {
		fits := len(m) <= MaxAttributes
		for k := range m {
			fits = fits && fitsKey(k)
		}
		if !fits {
			fv.Set(reflect.ValueOf(shorten(f, path, m, func(v bool) bool { return v })))
		}
	}
}

const maxKey = 128

func fitsKey(k string) bool { return k != "" && len(k) <= maxKey && utf8.ValidString(k) }

func shorten[V any](f *fitter, path string, m map[string]V, fit func(V) V) map[string]V {
	out := map[string]V{}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if fitsKey(k) && len(out) < MaxAttributes {
			out[k] = fit(m[k])
		}
	}
	if n := len(m) - len(out); n > 0 {
		f.warn(path, "%d entries left out: at most %d, with names of at most %d bytes", n, MaxAttributes, maxKey)
	}
	return out
}
