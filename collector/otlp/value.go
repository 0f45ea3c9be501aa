package otlp

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	common "go.opentelemetry.io/proto/otlp/common/v1"
)

// plain turns an attribute value into string, bool, int64, float64, []byte,
// []any or map[string]any; nil for an empty one. What JSON cannot say (NaN)
// becomes text.
func plain(v *common.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_DoubleValue:
		if math.IsNaN(v.DoubleValue) || math.IsInf(v.DoubleValue, 0) {
			return strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
		}
		return v.DoubleValue
	case *common.AnyValue_BytesValue:
		return v.BytesValue
	case *common.AnyValue_ArrayValue:
		list := make([]any, 0, len(v.ArrayValue.GetValues()))
		for _, e := range v.ArrayValue.GetValues() {
			list = append(list, plain(e))
		}
		return list
	case *common.AnyValue_KvlistValue:
		return plainMap(v.KvlistValue.GetValues())
	}
	return nil
}

// plainMap takes the first of members with the same key, which OTLP forbids.
func plainMap(kvs []*common.KeyValue) map[string]any {
	m := make(map[string]any, len(kvs))
	for _, kv := range kvs {
		if _, doubled := m[kv.GetKey()]; !doubled {
			m[kv.GetKey()] = plain(kv.GetValue())
		}
	}
	return m
}

// asText writes a plain value as the string of an event; compound ones as JSON.
func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	b, err := json.Marshal(v)
	if err != nil { // no plain value is unmarshalable
		return ""
	}
	return strings.Trim(string(b), `"`)
}

// asList reads a list of strings: an array, JSON text of one, or one string
// that is split at split, if given.
func asList(v any, split string) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		list := make([]string, 0, len(v))
		for _, e := range v {
			list = append(list, asText(e))
		}
		return list
	case string:
		var list []string
		if strings.HasPrefix(v, "[") && json.Unmarshal([]byte(v), &list) == nil {
			return list
		}
		if split != "" {
			return strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(split, r) })
		}
		if v == "" {
			return nil
		}
		return []string{v}
	}
	return []string{asText(v)}
}

// asInt reads a whole number, also from text or a float.
func asInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= 1<<53 {
			return int64(v), true
		}
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}
