package event

import (
	"reflect"
	"slices"
	"strings"
)

// plan is what the encoder and the decoder know of a struct type: its fields
// sorted by JSON name, which for our ASCII names is the order of RFC 8785.
// It is derived from the types of event.go once, so neither can drift from them.
type plan struct {
	path   string // of the struct, where it is in no list
	fields []field
	// initials are the first letters of the fields' names: a member's field is found
	// among them without a look at the others.
	initials []byte
	byName   map[string]int
}

type field struct {
	name   string
	path   string // from the event on, for a field that is in no list
	key    string // `"name":`
	index  int
	offset uintptr // of the field in its struct
	shape  shape
	limit  int   // of a string, in bytes
	nested *plan // for shapeStruct and shapeLinks
	// volatile: a collector adds it anew at each delivery, see ContentHash.
	volatile bool
}

// at is the field's path. item is the path of the list entry that the field is in;
// empty when it is in none, so that no path is put together then.
func (f *field) at(item string) string {
	if item == "" {
		return f.path
	}
	return item + "." + f.name
}

// below is what item is for the fields of a nested struct.
func (f *field) below(item string) string {
	if item == "" {
		return ""
	}
	return f.at(item)
}

type shape uint8

const (
	shapeString shape = iota
	shapeTime
	shapeInt
	shapeBool
	shapeStrings
	shapeStringMap
	shapeBoolMap
	shapeStruct
	shapeStructs
)

// volatile are the fields that a collector adds anew at each delivery.
var volatile = []string{"observed_time", "salt", "warnings"}

var (
	timeType  = reflect.TypeFor[Time]()
	eventPlan = newPlan("", reflect.TypeFor[Event]())
)

// newPlan returns the plan of a struct that stands at path.
func newPlan(path string, t reflect.Type) *plan {
	p := &plan{path: path, byName: map[string]int{}}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fp := field{name: name, path: join(path, name), key: `"` + name + `":`, index: i, offset: f.Offset}
		fp.limit, fp.volatile = maxText(fp.path), slices.Contains(volatile, fp.path)
		switch {
		case f.Type == timeType:
			fp.shape = shapeTime
		case f.Type.Kind() == reflect.String:
			fp.shape = shapeString
		case f.Type.Kind() == reflect.Int64:
			fp.shape = shapeInt
		case f.Type.Kind() == reflect.Bool:
			fp.shape = shapeBool
		case f.Type.Kind() == reflect.Struct:
			fp.shape, fp.nested = shapeStruct, newPlan(fp.path, f.Type)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.String:
			fp.shape = shapeStrings
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			if f.Type.Elem() != reflect.TypeFor[Link]() {
				panic("event: Reader knows lists of Link only, not field " + f.Name)
			}
			fp.shape, fp.nested = shapeStructs, newPlan(fp.path, f.Type.Elem())
		case f.Type.Kind() == reflect.Map && f.Type.Elem().Kind() == reflect.String:
			fp.shape = shapeStringMap
		case f.Type.Kind() == reflect.Map && f.Type.Elem().Kind() == reflect.Bool:
			fp.shape = shapeBoolMap
		default:
			panic("event: no JSON shape for field " + f.Name)
		}
		p.fields = append(p.fields, fp)
	}
	slices.SortFunc(p.fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	for i, f := range p.fields {
		p.initials = append(p.initials, f.name[0])
		p.byName[f.name] = i
	}
	return p
}
