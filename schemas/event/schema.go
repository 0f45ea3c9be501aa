package event

import _ "embed"

// Schema is event.schema.json: the JSON Schema of an event.
//
//go:embed event.schema.json
var Schema []byte
