package event

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
	"unsafe"
)

// Reader reads canonical events fast: it allocates nothing once its buffers
// have grown, and the strings of an event it returns are parts of the input.
//
// It takes only what [Event.AppendCanonical] could have written of an event
// that [Event.Validate] accepts; for anything else it says no, and
// [DecodeLenient] and Validate say what is to be said of it. So it never has
// to be right about input that is wrong, and where it says yes the two agree
// (FuzzReader). A Reader is used by one goroutine; its zero value is ready.
type Reader struct {
	event       Event
	attributes  map[string]string
	annotations map[string]bool
	lists       []string // backs the event's lists of strings
	links       []Link   // backs chain
	text        []byte   // backs strings that were escaped
	content     []byte   // the event without what each delivery adds anew
	copied      int      // how much of b is in content or left out of it

	b []byte
	i int
}

// Read returns the event of b, or false when b is not canonical or the event
// not valid. The event is good until the next call, and as long as b is not changed.
func (r *Reader) Read(b []byte) (*Event, bool) {
	if len(b) > MaxBytes {
		return nil, false
	}
	r.event = Event{}
	r.lists, r.links, r.text, r.content = r.lists[:0], r.links[:0], r.text[:0], r.content[:0]
	r.b, r.i, r.copied = b, 0, 0
	if !r.object(eventPlan, unsafe.Pointer(&r.event)) || r.i != len(b) {
		return nil, false
	}
	r.content = append(r.content, b[r.copied:]...)
	v := validator{}
	v.contents(&r.event)
	return &r.event, len(v.problems) == 0
}

// ContentHash is [Event.ContentHash] of the event read last.
func (r *Reader) ContentHash() [32]byte { return sha256.Sum256(r.content) }

// Content is what ContentHash is the SHA-256 of, good until the next Read.
func (r *Reader) Content() []byte { return r.content }

// object reads a struct at base. Members come in the plan's order and are never
// empty, so the plan is walked once.
func (r *Reader) object(p *plan, base unsafe.Pointer) bool {
	if !r.take('{') {
		return false
	}
	next := 0
	for {
		f := r.member(p, &next)
		if f == nil {
			return false
		}
		start := r.i - len(f.key) - 1 // at the comma before the key: the first member is never volatile
		if !r.value(f, unsafe.Add(base, f.offset)) {
			return false
		}
		if f.volatile {
			r.content = append(r.content, r.b[r.copied:start]...)
			r.copied = r.i
		}
		if r.take(',') {
			continue
		}
		return r.take('}')
	}
}

// member finds which field's key stands at the cursor and steps over it.
func (r *Reader) member(p *plan, next *int) *field {
	rest := r.b[r.i:]
	if len(rest) < 2 {
		return nil
	}
	for i := *next; i < len(p.initials); i++ {
		if p.initials[i] != rest[1] {
			continue
		}
		if f := &p.fields[i]; len(rest) >= len(f.key) && string(rest[:len(f.key)]) == f.key {
			*next = i + 1
			r.i += len(f.key)
			return f
		}
	}
	return nil
}

func (r *Reader) take(c byte) bool {
	if r.i < len(r.b) && r.b[r.i] == c {
		r.i++
		return true
	}
	return false
}

func (r *Reader) literal(word string) bool {
	if len(r.b)-r.i >= len(word) && string(r.b[r.i:r.i+len(word)]) == word {
		r.i += len(word)
		return true
	}
	return false
}

// value reads the value of f into the field at dst, whose type newPlan has seen.
func (r *Reader) value(f *field, dst unsafe.Pointer) (ok bool) {
	switch f.shape {
	case shapeString:
		var s string
		s, ok = r.str(f.limit)
		*(*string)(dst) = s
		return ok && s != ""
	case shapeTime:
		*(*Time)(dst), ok = r.time()
		return ok
	case shapeInt:
		*(*int64)(dst), ok = r.integer()
		return ok
	case shapeBool:
		*(*bool)(dst) = true
		return r.literal("true")
	case shapeStruct:
		return r.object(f.nested, dst)
	case shapeStrings:
		*(*[]string)(dst), ok = r.strings()
		return ok
	case shapeStructs:
		*(*[]Link)(dst), ok = r.chain(f.nested)
		return ok
	case shapeStringMap:
		*(*map[string]string)(dst), ok = r.stringMap()
		return ok
	default:
		*(*map[string]bool)(dst), ok = r.boolMap()
		return ok
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks the bytes of w, eight characters of a string, at which reading
// must look closer: quote, backslash, control character, not ASCII. Only the
// lowest mark is exact.
func special(w uint64) uint64 {
	quote, backslash := w^(ones*'"'), w^(ones*'\\')
	return (w | (w-ones*0x20)&^w | (quote-ones)&^quote | (backslash-ones)&^backslash) & highs
}

// str reads a string of at most limit bytes.
func (r *Reader) str(limit int) (string, bool) {
	if !r.take('"') {
		return "", false
	}
	start, b := r.i, r.b
	i := start
	for {
		for i+8 <= len(b) {
			if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		if i >= len(b) {
			return "", false
		}
		switch c := b[i]; {
		case c == '"':
			r.i = i + 1
			return unsafe.String(unsafe.SliceData(b[start:]), i-start), i-start <= limit
		case c == '\\':
			return r.escaped(start, i, limit)
		case c < 0x20:
			return "", false
		case c < utf8.RuneSelf:
			i++ // the last few bytes of b, which are not read eight at a time
		default:
			_, n := utf8.DecodeRune(b[i:])
			if n == 1 {
				return "", false // not UTF-8
			}
			i += n
		}
	}
}

// escaped reads on from the first backslash, at i, of a string that began at start.
func (r *Reader) escaped(start, i, limit int) (string, bool) {
	from := len(r.text)
	r.text = append(r.text, r.b[start:i]...)
	for i < len(r.b) && len(r.text)-from <= limit {
		switch c := r.b[i]; {
		case c == '"':
			r.i = i + 1
			s := r.text[from:]
			return unsafe.String(unsafe.SliceData(s), len(s)), true
		case c == '\\':
			v, n := canonicalEscape(r.b[i:])
			if n == 0 {
				return "", false
			}
			r.text = append(r.text, v)
			i += n
		case c < 0x20:
			return "", false
		case c < utf8.RuneSelf:
			r.text = append(r.text, c)
			i++
		default:
			_, n := utf8.DecodeRune(r.b[i:])
			if n == 1 {
				return "", false
			}
			r.text = append(r.text, r.b[i:i+n]...)
			i += n
		}
	}
	return "", false
}

// canonicalEscape reads an escape as appendString writes it, and its length; 0 for another.
func canonicalEscape(b []byte) (v byte, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch c := b[1]; c {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		return escapes[c], 2
	case 'u':
		if len(b) < 6 || b[2] != '0' || b[3] != '0' || b[4] != '0' && b[4] != '1' {
			return 0, 0
		}
		low := hexValue(b[5])
		v = (b[4]-'0')<<4 | low
		if low > 0xf || v == '\b' || v == '\t' || v == '\n' || v == '\f' || v == '\r' {
			return 0, 0
		}
		return v, 6
	}
	return 0, 0
}

func hexValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

func (r *Reader) integer() (n int64, ok bool) {
	if r.i < len(r.b) && r.b[r.i] == '0' {
		return 0, false // zero is absent
	}
	for r.i < len(r.b) && r.b[r.i] >= '0' && r.b[r.i] <= '9' && n <= maxInt {
		n = n*10 + int64(r.b[r.i]-'0')
		r.i++
	}
	return n, n > 0 && n <= maxInt
}

func (r *Reader) strings() ([]string, bool) {
	if !r.take('[') {
		return nil, false
	}
	from := len(r.lists)
	for len(r.lists)-from < MaxList {
		s, ok := r.str(MaxString)
		if !ok {
			return nil, false
		}
		r.lists = append(r.lists, s)
		if !r.take(',') {
			return r.lists[from:len(r.lists):len(r.lists)], r.take(']')
		}
	}
	return nil, false
}

func (r *Reader) chain(p *plan) ([]Link, bool) {
	if !r.take('[') {
		return nil, false
	}
	for len(r.links) < MaxChain {
		var link Link
		if !r.object(p, unsafe.Pointer(&link)) {
			return nil, false
		}
		r.links = append(r.links, link)
		if !r.take(',') {
			return r.links, r.take(']')
		}
	}
	return nil, false
}

func (r *Reader) stringMap() (map[string]string, bool) {
	if r.attributes == nil {
		r.attributes = map[string]string{}
	}
	clear(r.attributes)
	return r.attributes, r.entries(func(key string) bool {
		s, ok := r.str(MaxString)
		r.attributes[key] = s
		return ok
	})
}

func (r *Reader) boolMap() (map[string]bool, bool) {
	if r.annotations == nil {
		r.annotations = map[string]bool{}
	}
	clear(r.annotations)
	return r.annotations, r.entries(func(key string) bool {
		value := r.literal("true")
		r.annotations[key] = value
		return value || r.literal("false")
	})
}

// entries reads a map whose keys ascend. Keys outside ASCII, which RFC 8785
// sorts by UTF-16, are left to the slow way.
func (r *Reader) entries(value func(key string) bool) bool {
	if !r.take('{') {
		return false
	}
	last := ""
	for n := 0; n < MaxAttributes; n++ {
		key, ok := r.str(maxKey)
		if !ok || key <= last || !isASCII(key) || !r.take(':') || !value(key) {
			return false
		}
		last = key
		if !r.take(',') {
			return r.take('}')
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// time reads a time as appendJSON writes it.
func (r *Reader) time() (Time, bool) {
	const form = `"dddd-dd-ddTdd:dd:dd.ddddddZ"`
	b := r.b[r.i:]
	if len(b) < len(form) {
		return 0, false
	}
	for i := range len(form) {
		if form[i] == 'd' && (b[i] < '0' || b[i] > '9') || form[i] != 'd' && b[i] != form[i] {
			return 0, false
		}
	}
	r.i += len(form)
	two := func(i int) int64 { return int64(b[i]-'0')*10 + int64(b[i+1]-'0') }
	year, month, day := two(1)*100+two(3), two(6), two(9)
	hour, minute, second := two(12), two(15), two(18)
	micro := two(21)*10_000 + two(23)*100 + two(25)
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	t := ((days(year, month, day)*24+hour)*60+minute)*60 + second
	at := Time(t*1_000_000 + micro)
	return at, at > 0 && int64(at) <= maxTime
}

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// days counts from 1970-01-01 in the Gregorian calendar, with years that begin in March.
func days(year, month, day int64) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468
}
