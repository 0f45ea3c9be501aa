// Command generate writes the JSON Schemas of the answers of package query from
// its types and their comments. It runs in that package's folder.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

const module = "github.com/custody-audit/custody"

// answers are published under docs/reference by these names.
var answers = []struct {
	name, title string
	value       any
}{
	{"chain", "Delegation chains, as \"custody chain --output json\" writes them", &query.Chains{}},
	{"blast", "A blast radius, as \"custody blast --output json\" writes it", &query.Blast{}},
}

func main() {
	for _, a := range answers {
		schema, err := reflectSchema(a.value)
		if err != nil {
			log.Fatal(err)
		}
		schema.ID = jsonschema.ID("https://custody-audit.github.io/custody/schemas/" + a.name + ".json")
		schema.Title = a.title
		b, err := json.MarshalIndent(schema, "", "  ")
		if err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("..", "..", "docs", "reference", a.name+".schema.json"), append(b, '\n'), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

func reflectSchema(value any) (*jsonschema.Schema, error) {
	r := &jsonschema.Reflector{ExpandedStruct: true, Mapper: scalar}
	for _, path := range []string{"evidence/query", "processor/chain", "schemas/event"} {
		from, err := filepath.Rel(filepath.Join("evidence", "query"), filepath.FromSlash(path))
		if err != nil {
			return nil, err
		}
		if err := r.AddGoComments(module+"/evidence/query", from, jsonschema.WithFullComment()); err != nil {
			return nil, fmt.Errorf("comments of %s: %w", path, err)
		}
	}
	r.LookupComment = func(t reflect.Type, name string) string {
		key := t.PkgPath() + "." + t.Name()
		if name != "" {
			key += "." + name
		}
		return strings.Join(strings.Fields(r.CommentMap[key]), " ")
	}
	return r.Reflect(value), nil
}

// scalar gives the types whose JSON form the reflector cannot see, and the words
// that the others may be.
func scalar(t reflect.Type) *jsonschema.Schema {
	word := func(values ...any) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Enum: values} }
	switch t {
	case reflect.TypeFor[event.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[event.Kind]():
		var kinds []any
		for _, k := range event.Kinds {
			kinds = append(kinds, k)
		}
		return word(kinds...)
	case reflect.TypeFor[event.Effect]():
		return word(event.Allow, event.Deny, event.EffectError, event.NotApplicable)
	case reflect.TypeFor[chain.Strength]():
		return word(chain.Certain, chain.Strong, chain.Likely, chain.Weak, "")
	case reflect.TypeFor[chain.Reason]():
		return word(chain.NoSource, chain.Retention, chain.NeverSeen)
	case reflect.TypeFor[chain.Join]():
		return word(chain.ByLineage, chain.ByToken, chain.ByDecisionID, chain.ByTokenID, chain.ByTransaction, chain.ByTask, chain.ByTrace,
			chain.ByJSONRPC, chain.ByValidity, chain.ByClaim, "")
	}
	return nil
}
