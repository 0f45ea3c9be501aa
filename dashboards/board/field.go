package board

import (
	"slices"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Unit is the property of a column that gives its unit.
func Unit(unit string) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: "unit", Value: unit}
}

// Properties of one column; several links are one property with all of them.
func Properties(p ...dashboard.DynamicConfigValue) []dashboard.DynamicConfigValue {
	var out []dashboard.DynamicConfigValue
	for _, v := range p {
		i := slices.IndexFunc(out, func(o dashboard.DynamicConfigValue) bool { return o.Id == v.Id })
		if i >= 0 && v.Id == links {
			out[i].Value = append(slices.Clone(out[i].Value.([]any)), v.Value.([]any)...)
			continue
		}
		out = append(out, v)
	}
	return out
}

const links = "links"

// Alarming colours a number from this value on: what should be none, and is not.
func Alarming(from float64) []dashboard.DynamicConfigValue {
	return Properties(
		dashboard.DynamicConfigValue{Id: "thresholds", Value: map[string]any{"mode": "absolute", "steps": []any{
			map[string]any{"color": "text", "value": nil}, map[string]any{"color": "orange", "value": from},
		}}},
		dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: map[string]any{"type": "color-text"}},
		dashboard.DynamicConfigValue{Id: "color", Value: map[string]any{"mode": "thresholds"}},
	)
}

// LinkTo is a column's link to another dashboard, for the same time. Each pair
// names a variable there and the column here that it is set from.
func LinkTo(title, board string, pairs ...string) dashboard.DynamicConfigValue {
	var url strings.Builder
	url.WriteString("/d/" + UID(board) + "?${__url_time_range}&${clickhouse:queryparam}")
	for i := 0; i+1 < len(pairs); i += 2 {
		url.WriteString("&var-" + pairs[i] + "=${__data.fields." + pairs[i+1] + ":percentencode}")
	}
	return dashboard.DynamicConfigValue{Id: links, Value: []any{map[string]any{"title": title, "url": url.String()}}}
}
