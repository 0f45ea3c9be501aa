package event

import (
	"crypto/sha256"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendCanonical appends the event as JSON in the form of RFC 8785 (JCS):
// members sorted, no white space, least escapes, absent fields left out. These
// bytes go to Kafka and are what the Merkle leaf hashes. Bytes that are not
// UTF-8 become U+FFFD; Validate reports them before.
func (e *Event) AppendCanonical(b []byte) []byte {
	return eventPlan.append(b, reflect.ValueOf(e).Elem())
}

// Canonical returns the bytes of [Event.AppendCanonical].
func (e *Event) Canonical() []byte { return e.AppendCanonical(make([]byte, 0, 1536)) }

// MarshalJSON makes encoding/json write the canonical form.
func (e *Event) MarshalJSON() ([]byte, error) { return e.Canonical(), nil }

// ContentHash hashes what the source said: the canonical bytes without what
// the collector adds anew at each delivery (observed_time, salt, warnings).
// Equal ids with equal hashes are a re-delivery; with other hashes a forgery.
func (e *Event) ContentHash() [32]byte {
	c := *e
	c.ObservedTime, c.Salt, c.Warnings = 0, "", nil
	return sha256.Sum256(c.Canonical())
}

func (p *plan) append(b []byte, v reflect.Value) []byte {
	b = append(b, '{')
	first := true
	for i := range p.fields {
		f := &p.fields[i]
		fv := v.Field(f.index)
		if f.empty(fv) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, f.key...)
		b = f.append(b, fv)
	}
	return append(b, '}')
}

// empty also treats an empty slice or map as absent, so that equal events have equal bytes.
func (f *field) empty(v reflect.Value) bool {
	switch f.shape {
	case shapeStrings, shapeStructs, shapeStringMap, shapeBoolMap:
		return v.Len() == 0
	case shapeStruct:
		for i := range f.nested.fields {
			n := &f.nested.fields[i]
			if !n.empty(v.Field(n.index)) {
				return false
			}
		}
		return true
	default:
		return v.IsZero()
	}
}

func (f *field) append(b []byte, v reflect.Value) []byte {
	switch f.shape {
	case shapeString:
		return appendString(b, v.String())
	case shapeTime:
		return Time(v.Int()).appendJSON(b)
	case shapeInt:
		return strconv.AppendInt(b, v.Int(), 10)
	case shapeBool:
		return strconv.AppendBool(b, v.Bool())
	case shapeStruct:
		return f.nested.append(b, v)
	case shapeStrings:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, v.Index(i).String())
		}
		return append(b, ']')
	case shapeStructs:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = f.nested.append(b, v.Index(i))
		}
		return append(b, ']')
	case shapeStringMap:
		return appendMap(b, v.Interface().(map[string]string), appendString)
	default:
		return appendMap(b, v.Interface().(map[string]bool), strconv.AppendBool)
	}
}

func appendMap[V any](b []byte, m map[string]V, value func([]byte, V) []byte) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareUTF16)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		b = value(b, m[k])
	}
	return append(b, '}')
}

// compareUTF16 is the member order of RFC 8785 section 3.2.3, which differs
// from byte order only where a surrogate pair meets U+E000-U+FFFF.
func compareUTF16(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

const hexDigits = "0123456789abcdef"

// appendString writes s with the least escapes (RFC 8785 section 3.2.2.2).
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[start:i]...)
				b = append(b, "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\t':
			b = append(b, `\t`...)
		case '\n':
			b = append(b, `\n`...)
		case '\f':
			b = append(b, `\f`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
