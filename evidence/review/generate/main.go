// Command generate writes the JSON Schema of reports into the file that it is given,
// from the types of package review and their comments. It runs in that package's folder.
package main

import (
	"encoding/json"
	"log"
	"os"
	"reflect"

	"github.com/google/uuid"
	"github.com/invopop/jsonschema"

	"github.com/custody-audit/custody/evidence/review"
)

const module = "github.com/custody-audit/custody/evidence/"

func main() {
	r := &jsonschema.Reflector{ExpandedStruct: true, Mapper: func(t reflect.Type) *jsonschema.Schema {
		if t == reflect.TypeFor[uuid.UUID]() {
			return &jsonschema.Schema{Type: "string", Format: "uuid"}
		}
		return nil
	}}
	for _, from := range []string{".", "../query"} {
		if err := r.AddGoComments(module+"review", from); err != nil {
			log.Fatal(err)
		}
	}
	schema := r.Reflect(&review.Report{})
	schema.ID, schema.Title = "https://custody-audit.github.io/custody/schemas/review.json", "The report of an access review, as \"custody review export --output json\" writes it"
	b, err := json.MarshalIndent(schema, "", "  ")
	if err == nil {
		err = os.WriteFile(os.Args[1], append(b, '\n'), 0o644)
	}
	if err != nil {
		log.Fatal(err)
	}
}
