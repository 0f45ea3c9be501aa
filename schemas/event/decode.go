package event

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// MaxBytes is the largest canonical event, in bytes.
const MaxBytes = 256 << 10

// ErrTooLarge is returned for input over MaxBytes.
var ErrTooLarge = fmt.Errorf("event is larger than %d bytes", MaxBytes)

// Decode reads one event and is strict: unknown members, doubled members,
// wrong types, fractions and anything after the event are errors. It returns
// [Problems] that name every field at fault, and does not validate contents.
func Decode(b []byte) (*Event, error) {
	e, problems, err := decode(b)
	if err != nil {
		return nil, err
	}
	return e, problems.err()
}

// DecodeLenient reads an event that a newer writer may have written: what it
// does not know or cannot read is left out and returned as dropped. Only text
// that is not one JSON object is an error.
func DecodeLenient(b []byte) (e *Event, dropped Problems, err error) { return decode(b) }

func decode(b []byte) (*Event, Problems, error) {
	if len(b) > MaxBytes {
		return nil, nil, Problems{{Reason: fmt.Sprintf("%v (%d)", ErrTooLarge, len(b))}}
	}
	d := decoder{s: scanner{b: b}}
	if c := d.s.peek(); c != '{' {
		what, err := d.s.skip()
		if err != nil {
			return nil, nil, asProblems(err)
		}
		return nil, nil, Problems{{Reason: "want a JSON object, got " + what}}
	}
	e := new(Event)
	if err := d.object("", eventPlan, reflect.ValueOf(e).Elem()); err != nil {
		return nil, nil, asProblems(err)
	}
	if d.s.peek(); d.s.i < len(b) {
		return nil, nil, asProblems(d.s.fail("text after the event"))
	}
	return e, d.problems, nil
}

func asProblems(err error) error {
	var se *syntaxError
	if errors.As(err, &se) {
		return Problems{{Reason: err.Error()}}
	}
	return err
}

type decoder struct {
	s        scanner
	problems Problems
}

// object reads a struct. item is as [field.at] has it.
func (d *decoder) object(item string, p *plan, v reflect.Value) error {
	var seen [2]uint64 // members met, by index in the plan; no struct has over 128
	return d.s.object(func(key string) error {
		i, ok := p.byName[key]
		if !ok {
			path := item
			if item == "" {
				path = p.path
			}
			d.problems.add(clip(join(path, key)), "unknown field%s", suggest(key, p))
			_, err := d.s.skip()
			return err
		}
		at := p.fields[i].at(item)
		if seen[i/64]&(1<<(i%64)) != 0 {
			d.problems.add(at, "given twice")
			_, err := d.s.skip()
			return err
		}
		seen[i/64] |= 1 << (i % 64)
		return d.value(item, at, &p.fields[i], v.Field(p.fields[i].index))
	})
}

// mismatch skips the value at the cursor and records that it is of the wrong type; null is absent.
func (d *decoder) mismatch(path, want string) error {
	got, err := d.s.skip()
	if err == nil && got != "null" {
		d.problems.add(path, "want %s, got %s", want, got)
	}
	return err
}

func (d *decoder) value(item, path string, f *field, v reflect.Value) error {
	c := d.s.peek()
	switch f.shape {
	case shapeString:
		if c != '"' {
			return d.mismatch(path, "a string")
		}
		s, err := d.s.str()
		v.SetString(s)
		return err
	case shapeTime:
		if c != '"' {
			return d.mismatch(path, "a string with an RFC 3339 time")
		}
		s, err := d.s.str()
		if err != nil || s == "" {
			return err
		}
		t, perr := ParseTime(s)
		if perr != nil {
			d.problems.add(path, "%s", clip(perr.Error()))
		}
		v.SetInt(int64(t))
		return nil
	case shapeInt:
		return d.integer(path, v)
	case shapeBool:
		if c == 't' && d.s.literal("true") {
			v.SetBool(true)
			return nil
		}
		if c == 'f' && d.s.literal("false") {
			return nil
		}
		return d.mismatch(path, "a boolean")
	case shapeStruct:
		if c != '{' {
			return d.mismatch(path, "an object")
		}
		return d.object(f.below(item), f.nested, v)
	case shapeStrings, shapeStructs:
		if c != '[' {
			return d.mismatch(path, "an array")
		}
		return d.list(path, f, v)
	default:
		if c != '{' {
			return d.mismatch(path, "an object")
		}
		return d.mapping(path, f.shape, v)
	}
}

func (d *decoder) integer(path string, v reflect.Value) error {
	c := d.s.peek()
	if c != '-' && (c < '0' || c > '9') {
		return d.mismatch(path, "an integer")
	}
	text, err := d.s.number()
	if err != nil {
		return err
	}
	n, perr := strconv.ParseInt(text, 10, 64)
	if perr != nil || n > maxInt || n < -maxInt {
		d.problems.add(path, "want an integer within +-2^53, got %s", clip(text))
		return nil
	}
	v.SetInt(n)
	return nil
}

// maxInt keeps integers exact in every JSON reader (RFC 7493 section 2.2).
const maxInt = 1 << 53

func (d *decoder) list(path string, f *field, v reflect.Value) error {
	return d.s.array(func(i int) error {
		at := path + "[" + strconv.Itoa(i) + "]"
		c := d.s.peek()
		if f.shape == shapeStrings {
			if c != '"' {
				return d.mismatch(at, "a string")
			}
			s, err := d.s.str()
			ev := reflect.New(v.Type().Elem()).Elem()
			ev.SetString(s)
			v.Set(reflect.Append(v, ev))
			return err
		}
		if c != '{' {
			return d.mismatch(at, "an object")
		}
		ev := reflect.New(v.Type().Elem()).Elem()
		err := d.object(at, f.nested, ev)
		v.Set(reflect.Append(v, ev))
		return err
	})
}

func (d *decoder) mapping(path string, sh shape, v reflect.Value) error {
	m := reflect.MakeMap(v.Type())
	err := d.s.object(func(key string) error {
		at := clip(join(path, key))
		if m.MapIndex(reflect.ValueOf(key)).IsValid() {
			d.problems.add(at, "given twice")
			_, err := d.s.skip()
			return err
		}
		switch c := d.s.peek(); {
		case sh == shapeStringMap && c == '"':
			s, err := d.s.str()
			m.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(s))
			return err
		case sh == shapeStringMap:
			return d.mismatch(at, "a string")
		case c == 't' && d.s.literal("true"):
			m.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(true))
			return nil
		case c == 'f' && d.s.literal("false"):
			m.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(false))
			return nil
		}
		return d.mismatch(at, "a boolean")
	})
	if m.Len() > 0 {
		v.Set(m)
	}
	return err
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// clip bounds what of the input is repeated in a message.
func clip(s string) string {
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:117], "") + "..."
	}
	return s
}

// suggest names a field that differs from key only in case or separators.
func suggest(key string, p *plan) string {
	fold := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "").Replace(s))
	}
	if len(key) > 64 {
		return ""
	}
	for _, f := range p.fields {
		if fold(f.name) == fold(key) {
			return ", did you mean " + strconv.Quote(f.name) + "?"
		}
	}
	return ""
}
