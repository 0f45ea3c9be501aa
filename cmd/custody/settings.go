package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// setting is one leaf of the configuration.
type setting struct {
	Key     string // as in the file, with dots
	Default any
	Help    string
}

// Flag is the name on the command line.
func (s setting) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.Key) }

// Env is the name in the environment.
func (s setting) Env() string {
	return "CUSTODY_" + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))
}

// settings lists the leaves in the order of the struct's fields.
func settings() []setting { return leaves(reflect.ValueOf(*defaults()), "") }

func leaves(v reflect.Value, prefix string) []setting {
	var out []setting
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		key := prefix + f.Tag.Get("koanf")
		if f.Type.Kind() == reflect.Struct {
			out = append(out, leaves(v.Field(i), key+".")...)
			continue
		}
		out = append(out, setting{key, v.Field(i).Interface(), f.Tag.Get("help")})
	}
	return out
}

// takes gives a verb the flags of some sections of the configuration.
func takes(c *cobra.Command, sections ...string) *cobra.Command {
	for _, s := range settings() {
		for _, section := range sections {
			if s.Key == section || strings.HasPrefix(s.Key, section+".") {
				s.add(c.Flags())
			}
		}
	}
	return c
}

func (s setting) add(flags *pflag.FlagSet) {
	switch d := s.Default.(type) {
	case string:
		flags.String(s.Flag(), d, s.Help)
	case bool:
		flags.Bool(s.Flag(), d, s.Help)
	case []string:
		flags.StringSlice(s.Flag(), d, s.Help)
	case int64:
		flags.Int64(s.Flag(), d, s.Help)
	case int:
		flags.Int(s.Flag(), d, s.Help)
	case float64:
		flags.Float64(s.Flag(), d, s.Help)
	case time.Duration:
		flags.Duration(s.Flag(), d, s.Help)
	default:
		panic(fmt.Sprintf("setting %s: no flag for a %T", s.Key, d))
	}
}
