package event

import (
	"reflect"
	"strconv"
)

// EachString calls visit with the path and the value of every string that is
// not empty, keys of maps included, and keeps what it returns. It is how a
// check that must see all text (redaction) cannot forget a field.
func (e *Event) EachString(visit func(path, s string) string) {
	eventPlan.eachString("", reflect.ValueOf(e).Elem(), visit)
}

func (p *plan) eachString(item string, v reflect.Value, visit func(path, s string) string) {
	for i := range p.fields {
		f := &p.fields[i]
		fv := v.Field(f.index)
		switch f.shape {
		case shapeString:
			visitString(f.at(item), fv, visit)
		case shapeStruct:
			f.nested.eachString(f.below(item), fv, visit)
		case shapeStrings:
			for j := range fv.Len() {
				visitString(f.at(item)+"["+strconv.Itoa(j)+"]", fv.Index(j), visit)
			}
		case shapeStructs:
			for j := range fv.Len() {
				f.nested.eachString(f.at(item)+"["+strconv.Itoa(j)+"]", fv.Index(j), visit)
			}
		case shapeStringMap:
			visitMap(f.at(item), fv, visit, func(at string, v reflect.Value) reflect.Value {
				return reflect.ValueOf(visit(at, v.String()))
			})
		case shapeBoolMap:
			visitMap(f.at(item), fv, visit, func(_ string, v reflect.Value) reflect.Value { return v })
		}
	}
}

func visitString(path string, v reflect.Value, visit func(path, s string) string) {
	if s := v.String(); s != "" {
		if t := visit(path, s); t != s {
			v.SetString(t)
		}
	}
}

// visitMap builds the map anew: a changed key would otherwise be met twice.
func visitMap(path string, m reflect.Value, visit func(path, s string) string, value func(path string, v reflect.Value) reflect.Value) {
	if m.Len() == 0 {
		return
	}
	out := reflect.MakeMapWithSize(m.Type(), m.Len())
	for it := m.MapRange(); it.Next(); {
		key := it.Key().String()
		at := join(path, key)
		out.SetMapIndex(reflect.ValueOf(visit(path, key)), value(at, it.Value()))
	}
	m.Set(out)
}

// SetAttribute notes a further fact of the source, if there is one.
func (e *Event) SetAttribute(name, value string) {
	if value == "" {
		return
	}
	if e.Attributes == nil {
		e.Attributes = map[string]string{}
	}
	e.Attributes[name] = value
}
