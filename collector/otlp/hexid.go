package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
)

// idsToBase64 rewrites the hex ids of OTLP/JSON as the base64 that protojson
// wants. It looks at strings only and leaves everything else, also what is no
// JSON, for protojson to judge; so it needs no tree of the body.
func idsToBase64(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		quote := bytes.IndexByte(b[i:], '"')
		if quote < 0 {
			return append(out, b[i:]...)
		}
		out = append(out, b[i:i+quote]...)
		i += quote
		key, end := stringAt(b, i)
		out = append(out, b[i:end]...)
		i = end
		if !isID(key) {
			continue
		}
		value := i + valueOffset(b[i:])
		if value == i || value >= len(b) || b[value] != '"' {
			continue
		}
		id, end := stringAt(b, value)
		out = append(out, b[i:value]...)
		out = append(out, '"')
		if raw, err := hex.DecodeString(string(id)); err == nil {
			out = base64.StdEncoding.AppendEncode(out, raw)
		} else {
			out = append(append(out, "not hex: "...), id...) // nor base64: protojson refuses it by name and place
		}
		out = append(out, '"')
		i = end
	}
	return out
}

// stringAt returns the inside of the string that begins at i and where it ends.
func stringAt(b []byte, i int) (inside []byte, end int) {
	for j := i + 1; j < len(b); j++ {
		switch b[j] {
		case '\\':
			j++
		case '"':
			return b[i+1 : j], j + 1
		}
	}
	return nil, len(b)
}

// valueOffset is how far the value of a member is from the end of its key; 0
// when what came was no key.
func valueOffset(b []byte) int {
	colon := len(b) - len(bytes.TrimLeft(b, " \t\r\n"))
	if colon >= len(b) || b[colon] != ':' {
		return 0
	}
	rest := b[colon+1:]
	return colon + 1 + len(rest) - len(bytes.TrimLeft(rest, " \t\r\n"))
}

func isID(key []byte) bool {
	switch string(key) {
	case "traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id":
		return true
	}
	return false
}
