package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
	"github.com/custody-audit/custody/schemas/topic"
)

func newSchema(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "schema",
		Short: "Create and check the topics and tables",
	}
	c.AddCommand(newSchemaMigrate(a), newSchemaStatus(a), newSchemaRoles(a), newSchemaUsers(a))
	return c
}

// schemaStatus is how topics and tables stand.
type schemaStatus struct {
	Tables []table.MigrationStatus `json:"tables"`
	Topics []topic.Status          `json:"topics"`
}

const schemaTimeout = 5 * time.Minute

func newSchemaMigrate(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use:   "migrate",
		Short: "Create the topics and tables that are missing; run it once before a new release",
		Long: `Creates what is missing and changes nothing that exists. Each migration is applied once and recorded with its
SHA-256; one that was edited afterwards is an error and nothing is applied. The ClickHouse user must be allowed to
create the database and tables. "custody run" does this by itself.

With --clickhouse-cluster each table is made on every server of that cluster, which --clickhouse-addresses must all name, and
beside it one that reaches all shards.`,
		Example: "  custody schema migrate --kafka-brokers kafka-1:9092 --kafka-replication 3 --clickhouse-addresses ch-1:9000 --clickhouse-user admin",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), schemaTimeout)
			defer cancel()
			applied, err := a.migrate(ctx)
			if err != nil {
				return err
			}
			for _, name := range applied {
				fmt.Fprintln(cmd.ErrOrStderr(), "applied", name)
			}
			return a.reportSchema(ctx, cmd.OutOrStdout(), output)
		},
	}, "kafka", "clickhouse")
	output = outputFlag(c, "table", "json")
	return c
}

func newSchemaStatus(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use:   "status",
		Short: "Show how topics and tables stand; exit 1 when something is missing or wrong",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), schemaTimeout)
			defer cancel()
			if err := a.config.local(""); err != nil {
				return err
			}
			return a.reportSchema(ctx, cmd.OutOrStdout(), output)
		},
	}, "kafka", "clickhouse")
	output = outputFlag(c, "table", "json")
	return c
}

func newSchemaRoles(a *app) *cobra.Command {
	var tenants []string
	c := takes(&cobra.Command{
		Use:   "roles",
		Short: "Print the SQL of the ClickHouse roles: writer, detector, registrar, handler, analyst, and an auditor per tenant",
		Long: `Prints the statements that create the roles of the pipeline and their row policies, for an administrator to run on a
ClickHouse with SQL-driven access control; they may be run again with more tenants. Afterwards only users with one of the roles
see rows: create users with "CREATE USER ... DEFAULT ROLE custody_writer" and so on. "custody run" needs none of this.`,
		Example: "  custody schema roles --tenant acme --tenant globex | clickhouse client --multiquery",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, tenant := range tenants {
				if !event.ValidTenant(tenant) {
					return fmt.Errorf("--tenant %q: want lower-case letters, digits, - and _, at most 63", tenant)
				}
			}
			statements, err := table.Roles(a.config.ClickHouse.Database, tenants), error(nil)
			if name := a.config.ClickHouse.Cluster; name != "" {
				statements, err = (&table.Cluster{Name: name}).Roles(a.config.ClickHouse.Database, tenants)
			}
			if err != nil {
				return err
			}
			for _, statement := range statements {
				fmt.Fprintln(cmd.OutOrStdout(), statement+";")
			}
			return nil
		},
	}, "clickhouse.database", "clickhouse.cluster")
	c.Flags().StringSliceVar(&tenants, "tenant", nil, "tenants that get an auditor")
	return c
}

// migrate creates the database, the tables and the topics, and returns the
// migrations that it applied.
func (a *app) migrate(ctx context.Context) ([]string, error) {
	broker, err := a.config.Kafka.client(ctx)
	if err != nil {
		return nil, err
	}
	applied, err := a.migrateTables(ctx)
	if err != nil {
		return applied, err
	}
	_, err = topic.Migrate(ctx, broker, a.config.Kafka.layout())
	return applied, err
}

// migrateTables does so on one server, or on each server of the cluster.
func (a *app) migrateTables(ctx context.Context) ([]string, error) {
	c := a.config.ClickHouse
	servers := [][]string{c.Addresses}
	if c.Cluster != "" {
		servers = nil
		for _, address := range c.Addresses {
			servers = append(servers, []string{address})
		}
	}
	var conns []driver.Conn
	for _, addresses := range servers {
		c.Addresses = addresses
		if err := createDatabase(ctx, &c); err != nil {
			return nil, err
		}
		conn, err := c.connect(c.Database)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	if c.Cluster == "" {
		return table.Migrate(ctx, conns[0])
	}
	if len(conns) == 0 {
		return nil, errors.New("clickhouse.addresses is not set")
	}
	cluster, n, err := table.FindCluster(ctx, conns[0], c.Cluster)
	if err != nil {
		return nil, err
	}
	if n != len(conns) {
		return nil, fmt.Errorf("cluster %q has %d servers, clickhouse.addresses lists %d: the migration wants all of them", c.Cluster, n, len(conns))
	}
	return cluster.Migrate(ctx, conns)
}

func createDatabase(ctx context.Context, c *clickhouseConfig) error {
	conn, err := c.connect("")
	if err != nil {
		return err
	}
	defer conn.Close()
	named := clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"name": c.Database}))
	if err := conn.Exec(named, "CREATE DATABASE IF NOT EXISTS {name:Identifier} ENGINE = Atomic"); err != nil {
		return fmt.Errorf("create database %q: %w", c.Database, err)
	}
	return nil
}

func (a *app) reportSchema(ctx context.Context, w io.Writer, output *choice) error {
	s, err := a.schemaStatus(ctx)
	if err != nil {
		return err
	}
	if output.value == "json" {
		err = json.NewEncoder(w).Encode(s)
	} else {
		err = s.write(w)
	}
	return errors.Join(err, s.problem())
}

func (a *app) schemaStatus(ctx context.Context) (*schemaStatus, error) {
	broker, err := a.config.Kafka.client(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := a.config.ClickHouse.connect(a.config.ClickHouse.Database)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	s := &schemaStatus{}
	var errTables, errTopics error
	s.Tables, errTables = table.Check(ctx, conn)
	s.Topics, errTopics = topic.Check(ctx, broker, a.config.Kafka.layout())
	return s, errors.Join(errTables, errTopics)
}

func (s *schemaStatus) problem() error {
	n := 0
	for _, t := range s.Tables {
		if t.Problem != "" {
			n++
		}
	}
	for _, t := range s.Topics {
		if t.Problem != "" {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d topics and migrations are not as they should be", n, len(s.Tables)+len(s.Topics))
	}
	return nil
}

func (s *schemaStatus) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tNAME\tSTATE")
	for _, m := range s.Tables {
		fmt.Fprintf(t, "migration\t%s\t%s\n", m.Migration, state(m.Problem, "applied"))
	}
	for _, m := range s.Topics {
		fmt.Fprintf(t, "topic\t%s\t%s\n", m.Topic, state(m.Problem, fmt.Sprintf("%d partitions", m.Partitions)))
	}
	return t.Flush()
}

func state(problem, otherwise string) string {
	if problem != "" {
		return problem
	}
	return otherwise
}
