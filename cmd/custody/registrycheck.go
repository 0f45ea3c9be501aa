package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/enrich"
)

func newRegistryCheck(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use:   "check [PATH]",
		Short: "Check registry files: every mistake with file, line and field",
		Long: `Reads a registry file, or the .yaml, .yml and .json files of a folder, and says all that is wrong with them, or what they
hold. Without PATH it reads processor.registry. It asks nobody.`,
		Example: "  custody registry check registry/",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			registries, err := a.registries(args)
			checked := checkRegistries(registries)
			if output.value == "json" && (err == nil || errors.As(err, &checked.Problems)) {
				return errors.Join(json.NewEncoder(cmd.OutOrStdout()).Encode(checked), err)
			}
			if err != nil {
				return err
			}
			return checked.write(cmd.OutOrStdout())
		},
	}, "processor.registry")
	output = outputFlag(c, "table", "json")
	return c
}

// registries reads the path of the arguments, else the configured one.
func (a *app) registries(args []string) (map[string]*enrich.Registry, error) {
	path := a.config.Processor.Registry
	if len(args) > 0 {
		path = args[0]
	}
	if path == "" {
		return nil, errors.New("want the PATH of a registry, or processor.registry set")
	}
	return enrich.Read(path)
}

// checkedRegistries is what files hold, or what is wrong with them.
type checkedRegistries struct {
	Registries []checkedRegistry `json:"registries"`
	Problems   enrich.Problems   `json:"problems,omitempty"`
}

type checkedRegistry struct {
	Tenant     string `json:"tenant"`
	Version    string `json:"version"`
	Principals int    `json:"principals"`
	Servers    int    `json:"servers"`
	Tools      int    `json:"tools"`
}

func checkRegistries(registries map[string]*enrich.Registry) *checkedRegistries {
	out := &checkedRegistries{Registries: []checkedRegistry{}}
	for _, tenant := range slices.Sorted(maps.Keys(registries)) {
		r := registries[tenant]
		out.Registries = append(out.Registries, checkedRegistry{tenant, r.Version(), len(r.Principals), len(r.Servers), len(r.Tools)})
	}
	return out
}

func (c *checkedRegistries) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TENANT\tVERSION\tPRINCIPALS\tSERVERS\tTOOLS")
	for _, r := range c.Registries {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\n", r.Tenant, r.Version, r.Principals, r.Servers, r.Tools)
	}
	return t.Flush()
}
