package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// conn connects to the configured ClickHouse or that of the data folder, to ask
// about one tenant or, when it is empty, all.
func (a *app) conn(tenant string) (driver.Conn, error) {
	if err := a.config.local(tenant); err != nil {
		return nil, err
	}
	return a.config.ClickHouse.connect(a.config.ClickHouse.Database)
}

// reader connects to ClickHouse to ask it.
func (a *app) reader(tenant string) (*query.Reader, func() error, error) {
	conn, err := a.conn(tenant)
	if err != nil {
		return nil, nil, err
	}
	r, err := query.New(query.Config{ClickHouse: conn, Tenant: tenant})
	return r, conn.Close, err
}

func newSearch(a *app) *cobra.Command {
	var tenant, after string
	var limit int
	var output *choice
	c := takes(&cobra.Command{
		Use:     "search [FILTER]",
		Short:   "Find events",
		Long:    "Finds events, newest first. Fields: " + strings.Join(query.Fields(), ", ") + ".",
		Example: "  custody search 'kind:tool_invocation actor:planner* outcome:denied last:24h'",
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := a.filter(strings.Join(args, " "))
			if err != nil {
				return err
			}
			r, done, err := a.reader(tenant)
			if err != nil {
				return err
			}
			defer done()
			page, err := r.Search(cmd.Context(), filter, limit, after)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(page)
			}
			return writeTable(cmd.OutOrStdout(), page)
		},
	}, "clickhouse", "search")
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant")
	output = outputFlag(c, "table", "json")
	c.Flags().IntVar(&limit, "limit", 50, "events on one page")
	c.Flags().StringVar(&after, "after", "", "continue behind this event, as the page before says")
	return c
}

func writeTable(w io.Writer, page *query.Page) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME\tTENANT\tKIND\tOUTCOME\tSUBJECT\tACTOR\tOWNER\tSERVER\tTOOL\tID")
	for i, e := range page.Events {
		owner := page.Facts[i].ActorOwner
		if e.Actor.Sub == "" {
			owner = page.Facts[i].SubjectOwner
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Time.Go().Format("2006-01-02T15:04:05.000Z"), e.Tenant, e.Kind, detail(e), e.Subject.Sub, e.Actor.Sub, owner, e.Server.ID, e.Tool.Name, e.ID)
	}
	if page.Next != "" {
		fmt.Fprintf(t, "more: --after %s\n", page.Next)
	}
	return t.Flush()
}

func detail(e *event.Event) string {
	if e.Kind == event.PermissionDecision {
		return string(e.Decision.Effect)
	}
	return string(e.Outcome)
}
