package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/retain"
)

func newRetention(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "retention",
		Short: "Say how long records are kept, and delete those whose time is over",
	}
	c.AddCommand(newRetentionShow(a), newRetentionSet(a), newRetentionApply(a))
	return c
}

func newRetentionShow(a *app) *cobra.Command {
	var tenant string
	var output *choice
	c := takes(&cobra.Command{
		Use: "show", Short: "Show how long records are kept, and which are on hold", Args: cobra.NoArgs,
		Long:    `Shows the rules and holds in force, by tenant. What no rule is about is kept for ever. Days count from when a record came to the log.`,
		Example: `  custody retention show --tenant acme`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			states, err := a.retention(cmd, tenant)
			if err != nil {
				return err
			}
			return output.print(cmd.OutOrStdout(), states, func(w io.Writer) error { return writeRules(w, states) })
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant")
	output = outputFlag(c, "table", "json")
	return c
}

// retention reads what is in force.
func (a *app) retention(cmd *cobra.Command, tenant string) ([]*retain.State, error) {
	conn, err := a.conn(tenant)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	acts, err := retain.Acts(cmd.Context(), conn, tenant)
	return retain.Fold(acts, false), err
}

func writeRules(w io.Writer, states []*retain.State) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TENANT\tKIND\tDAYS\tSET\tBY\tEVENT\tREASON")
	for _, s := range states {
		for _, r := range s.Rules {
			days := "for ever"
			if r.Days > 0 {
				days = fmt.Sprint(r.Days)
			}
			fmt.Fprintln(t, cells(s.Tenant, cmp.Or(r.Kind, "all others"), days, second(r.Time), r.ActorSub, r.EventID.String(), r.Reason))
		}
		if n := len(s.Holds); n > 0 {
			fmt.Fprintf(t, "%s\t%d on hold: \"custody hold list\"\n", cells(s.Tenant), n)
		}
	}
	for _, s := range states {
		for _, e := range s.Erasures {
			fmt.Fprintln(t, cells(s.Tenant, "a person", "erased", second(e.Time), e.ActorSub, e.EventID.String(), e.Reason))
		}
	}
	return t.Flush()
}

func newRetentionSet(a *app) *cobra.Command {
	var kind string
	var days uint32
	return newKeepingAct(a, keepingAct{
		use: "set", short: "Say how long records are kept", path: "/retention",
		long:    "Records are deleted so many days after they came to the log, and a signed record of it stays (docs/adr/0028-retention.md).",
		example: "  custody retention set --tenant acme --kind tool_invocation --days 400 --reason 'policy 12'\n  custody retention set --tenant acme --days 0 --reason 'all others for ever'",
		flags: func(c *cobra.Command) {
			c.Flags().StringVar(&kind, "kind", "", "kind of the records; empty: all that have no rule of their own")
			c.Flags().Uint32Var(&days, "days", 0, "days from when a record came to the log to its deletion; 0: it is kept for ever; required")
			_ = c.MarkFlagRequired("days") // the flag exists
		},
		body: func([]string) (map[string]any, error) {
			return map[string]any{"kind": kind, "days": days}, nil
		},
	})
}

// keepingAct is a verb that says how long records are kept.
type keepingAct struct {
	use, short, long, example, path string
	args                            cobra.PositionalArgs
	flags                           func(c *cobra.Command)
	body                            func(args []string) (map[string]any, error)
	of                              func(args []string) string // path, where it has an argument
}

func newKeepingAct(a *app, k keepingAct) *cobra.Command {
	var tenant, reason string
	var output *choice
	c := takes(&cobra.Command{
		Use: k.use, Short: k.short, Example: k.example, Args: k.args,
		Long: k.short + ". " + k.long + ` It is done through the HTTP API, that of --data-dir or of api.url, wants the role
admin, and is an event of type custody.change in the tenant's log.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := k.body(args)
			if err != nil {
				return err
			}
			client, err := a.apiClient()
			if err != nil {
				return err
			}
			for name, value := range body {
				if value == "" {
					delete(body, name)
				}
			}
			body["reason"] = reason
			path := k.path
			if k.of != nil {
				path = k.of(args)
			}
			state := &retain.State{}
			if err := client.do(cmd.Context(), http.MethodPost, path+"?tenant="+url.QueryEscape(tenant), "", body, state); err != nil {
				return err
			}
			return output.print(cmd.OutOrStdout(), state, func(w io.Writer) error {
				return errors.Join(writeRules(w, []*retain.State{state}), writeHolds(w, []*retain.State{state}))
			})
		},
	}, "api")
	if k.args == nil {
		c.Args = cobra.NoArgs
	}
	c.Flags().StringVar(&tenant, "tenant", "", "tenant whose records it is about; required")
	c.Flags().StringVar(&reason, "reason", "", "why; required")
	_ = c.MarkFlagRequired("tenant") // the flags exist
	_ = c.MarkFlagRequired("reason")
	if k.flags != nil {
		k.flags(c)
	}
	output = outputFlag(c, "table", "json")
	return c
}

func newRetentionApply(a *app) *cobra.Command {
	var once bool
	var output *choice
	c := takes(&cobra.Command{
		Use:   "apply",
		Short: "Delete records whose time is over, and leave signed records of it",
		Long: `Every retention.interval, signs what is to be deleted, makes it an event, and deletes it from ClickHouse, where a user like
custody_retainer may; what is on hold stays. It signs with the log's key. "custody run" does this too. One such process suffices;
several do no harm. Kafka and backups keep what they are configured to.`,
		Example: "  custody retention apply --once --data-dir data\n  custody retention apply --kafka-brokers kafka-1:9092 --clickhouse-addresses ch-1:9000 --clickhouse-user custody_retainer --seal-key-file key --seal-dir /mnt/checkpoints",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if once {
				a.config.Telemetry.Address = "" // a running service may have it
			}
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "retain")
			if err != nil {
				return err
			}
			return errors.Join(a.applyRetention(cmd, tel, once, output.value), tel.close())
		},
	}, "kafka", "clickhouse", "collector.redact", "seal.dir", "seal.key_file", "seal.trust", "retention", "telemetry")
	c.Flags().BoolVar(&once, "once", false, "one pass, then end")
	output = outputFlag(c, "table", "json")
	return c
}

func (a *app) applyRetention(cmd *cobra.Command, tel *telemetry, once bool, output string) error {
	if err := a.config.localAs(func(e *endpoint) (string, string) { return retainerUser, e.Retainer }); err != nil {
		return err
	}
	intake, publisher, err := a.ownIntake(cmd.Context(), tel)
	if err != nil {
		return err
	}
	defer publisher.Close()
	r, conn, err := newRetainer(a, recorder{intake}, tel)
	if err != nil {
		return err
	}
	defer conn.Close()
	if !once {
		fmt.Fprintln(cmd.ErrOrStderr(), "records whose time is over are deleted. Stop with Ctrl-C.")
		return r.Run(cmd.Context())
	}
	rep, err := r.Once(cmd.Context())
	if err != nil {
		return err
	}
	if output == "json" {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(rep)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d records deleted, %d signed records of it, %d records on hold\n", rep.Deleted, len(rep.Signed), rep.Held)
	return nil
}
