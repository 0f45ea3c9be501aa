package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/enrich"
)

func newRegistryImport(a *app) *cobra.Command {
	return takes(&cobra.Command{
		Use:   "import [PATH]",
		Short: "Store registry files as the versions in force",
		Long: `Reads files as "custody registry check" does and stores them as the versions in force of their tenants; others stay as they
are. Processors without processor.registry take them within seconds; those that read files of their own do not. The ClickHouse
user wants the role custody_registrar.`,
		Example: "  custody registry import registry/ --clickhouse-addresses ch-1:9000 --clickhouse-user custody_registrar",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			registries, err := a.registries(args)
			if err != nil {
				return err
			}
			conn, err := a.registrar()
			if err != nil {
				return err
			}
			defer conn.Close()
			for _, tenant := range slices.Sorted(maps.Keys(registries)) {
				if err := importRegistry(cmd, conn, tenant, registries[tenant]); err != nil {
					return err
				}
			}
			return nil
		},
	}, "clickhouse", "processor.registry")
}

// registrar connects as who may import.
func (a *app) registrar() (driver.Conn, error) {
	err := a.config.localAs(func(e *endpoint) (user, password string) { return embedded.Registrar, e.Registrar })
	if err != nil {
		return nil, err
	}
	return a.config.ClickHouse.connect(a.config.ClickHouse.Database)
}

func importRegistry(cmd *cobra.Command, conn driver.Conn, tenant string, r *enrich.Registry) error {
	before, err := enrich.InForce(cmd.Context(), conn, tenant, time.Now())
	if err != nil {
		return err
	}
	stored, err := enrich.Store(cmd.Context(), conn, tenant, r, enrich.FromImport, time.Now())
	if err != nil {
		return err
	}
	out := cmd.ErrOrStderr()
	if !stored {
		fmt.Fprintf(out, "%s: version %s is in force already\n", tenant, r.Version())
		return nil
	}
	fmt.Fprintf(out, "%s: version %s is in force\n", tenant, r.Version())
	if len(before) > 0 && before[0].Origin == enrich.FromFile {
		fmt.Fprintf(out, "%s: the version before came from files of a processor; while processor.registry is set there, this one has no effect\n", tenant)
	}
	return nil
}
