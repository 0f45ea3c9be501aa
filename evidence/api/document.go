package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/custody-audit/custody/schemas/event"
)

// Document returns the OpenAPI document.
func Document() ([]byte, error) {
	s := &Server{}
	s.operations(http.NewServeMux())
	return document(s.api)
}

// document is the published form. It is made once, when all operations are there.
func document(api huma.API) ([]byte, error) {
	if err := explainEvents(api.OpenAPI().Components.Schemas.Map()); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(api.OpenAPI(), "", "  ")
	return append(b, '\n'), err
}

// explained is the part of a JSON Schema that explains.
type explained struct {
	Description string               `json:"description"`
	Properties  map[string]explained `json:"properties"`
	Defs        map[string]explained `json:"$defs"`
}

// explainEvents says of the fields of events what their own schema says: the types
// have it in comments, which are gone when the program runs.
func explainEvents(schemas map[string]*huma.Schema) error {
	var e explained
	if err := json.Unmarshal(event.Schema, &e); err != nil {
		return fmt.Errorf("schema of events: %w", err)
	}
	e.Defs["Event"] = explained{Description: e.Description, Properties: e.Properties}
	for name, of := range e.Defs {
		s := schemas["event."+name]
		if s == nil {
			continue
		}
		s.Description = of.Description
		for field, p := range s.Properties {
			if p.Ref == "" { // beside a reference it would be the type's
				p.Description = of.Properties[field].Description
			}
		}
	}
	return nil
}
