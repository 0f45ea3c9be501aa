// Command generate writes event.schema.json and docs/reference/event.md from the types and
// comments of package event. It runs in that package's folder.
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

	"github.com/custody-audit/custody/schemas/event"
)

const base = "github.com/custody-audit/custody/schemas/event"

func main() {
	schema, err := reflectSchema()
	if err != nil {
		log.Fatal(err)
	}
	b, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		log.Fatal(err)
	}
	write("event.schema.json", string(b)+"\n")
	write(filepath.Join("..", "..", "docs", "reference", "event.md"), reference(schema))
}

func write(path, text string) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		log.Fatal(err)
	}
}

func reflectSchema() (*jsonschema.Schema, error) {
	r := &jsonschema.Reflector{ExpandedStruct: true, Mapper: scalar}
	if err := r.AddGoComments(base, ".", jsonschema.WithFullComment()); err != nil {
		return nil, err
	}
	r.LookupComment = func(t reflect.Type, name string) string {
		key := t.PkgPath() + "." + t.Name()
		if name != "" {
			key = base + "." + t.Name() + "." + name
		}
		return strings.Join(strings.Fields(r.CommentMap[key]), " ")
	}
	s := r.Reflect(&event.Event{})
	s.ID = "https://custody-audit.github.io/custody/schemas/event-" + event.SchemaVersion + ".json"
	s.Title = "Custody identity event"
	bound(s, "")
	for name, d := range s.Definitions {
		bound(d, strings.ToLower(name)+".")
	}
	return s, nil
}

// scalar gives the types whose JSON form the reflector cannot see.
func scalar(t reflect.Type) *jsonschema.Schema {
	text := func(values ...any) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Enum: values} }
	switch t {
	case reflect.TypeFor[event.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[event.Kind]():
		var kinds []any
		for _, k := range event.Kinds {
			kinds = append(kinds, string(k))
		}
		return text(kinds...)
	case reflect.TypeFor[event.Outcome]():
		return text("success", "failure", "denied", "error")
	case reflect.TypeFor[event.Effect]():
		return text("allow", "deny", "error", "not_applicable")
	case reflect.TypeFor[event.ChainRule]():
		return text("subject_chained", "actor_chained", "flat")
	case reflect.TypeFor[event.PartyType]():
		return text("human", "agent", "workload", "service", "server", "unknown")
	case reflect.TypeFor[event.Verified]():
		return &jsonschema.Schema{Type: "string", Pattern: "^(verified|unverified|absent|failed:.+)$"}
	}
	return nil
}

// bound writes Validate's limits into the schema. The schema cannot say
// everything that Validate checks; what it refuses, Validate refuses too.
func bound(s *jsonschema.Schema, path string) {
	if s.Properties == nil {
		return
	}
	if path == "" {
		s.Required = []string{"id", "schema_version", "kind", "time", "tenant", "source", "outcome"}
	}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		f, at := p.Value, path+p.Key
		switch f.Type {
		case "string":
			if f.Enum == nil && f.Format == "" && f.Pattern == "" {
				f.MaxLength = ptr(uint64(limit(at)))
			}
		case "integer":
			f.Minimum = "0"
		case "array":
			f.MaxItems = ptr(uint64(event.MaxList))
			if p.Key == "chain" {
				f.MaxItems = ptr(uint64(event.MaxChain))
			}
		case "object":
			f.MaxProperties = ptr(uint64(event.MaxAttributes))
		}
		if pattern, ok := event.Patterns()[at]; ok {
			f.Pattern, f.MaxLength = pattern, nil
		}
	}
}

func limit(path string) int {
	switch path {
	case "tool.arguments":
		return event.MaxArguments
	case "chain_raw":
		return event.MaxChainRaw
	}
	return event.MaxString
}

func ptr[T any](v T) *T { return &v }

// reference renders the schema as one table per object.
func reference(s *jsonschema.Schema) string {
	var sb strings.Builder
	sb.WriteString("# The identity event\n\nGenerated from `schemas/event/event.go` by `make generate`; the machine-readable form is `schemas/event/event.schema.json`.\n" +
		"Fields that are absent mean \"not known\". The canonical bytes (RFC 8785) of an event are at most 256 KiB.\n")
	table(&sb, "Event", s)
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		ref := p.Value.Ref
		if p.Value.Items != nil {
			ref = p.Value.Items.Ref
		}
		if name := strings.TrimPrefix(ref, "#/$defs/"); name != "" && s.Definitions[name] != nil {
			table(&sb, name, s.Definitions[name])
			delete(s.Definitions, name)
		}
	}
	return sb.String()
}

func table(sb *strings.Builder, name string, s *jsonschema.Schema) {
	fmt.Fprintf(sb, "\n## %s\n\n", name)
	if name != "Event" {
		fmt.Fprintf(sb, "%s\n\n", s.Description)
	}
	sb.WriteString("| field | type | meaning |\n|---|---|---|\n")
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		required := ""
		for _, r := range s.Required {
			if r == p.Key {
				required = " **Required.**"
			}
		}
		fmt.Fprintf(sb, "| `%s` | %s | %s%s |\n", p.Key, typeOf(p.Value), strings.ReplaceAll(p.Value.Description, "|", "\\|"), required)
	}
}

func typeOf(s *jsonschema.Schema) string {
	switch {
	case s.Ref != "":
		name := strings.TrimPrefix(s.Ref, "#/$defs/")
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	case s.Type == "array":
		return "array of " + typeOf(s.Items)
	case len(s.Enum) > 0:
		var all []string
		for _, v := range s.Enum {
			all = append(all, fmt.Sprintf("`%v`", v))
		}
		return strings.Join(all, ", ")
	case s.Format == "date-time":
		return "time (RFC 3339)"
	case s.Type == "object" && s.AdditionalProperties != nil:
		return "map to " + s.AdditionalProperties.Type
	}
	return s.Type
}
