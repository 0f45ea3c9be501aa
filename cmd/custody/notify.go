package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/evidence/notify"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/lease"
)

func newNotify(a *app) *cobra.Command {
	c := takes(&cobra.Command{
		Use:   "notify",
		Short: "Tell other systems of findings: Kafka, a webhook, syslog",
		Long: `Tells each configured outlet of every finding and of each change to it, at least once, under an id that is the same when it
comes again (docs/operate.md). It goes on after a restart where it was. Of several with the same notify.name one works and the
others stand by, when kafka.brokers is set: a lease there says which, and another takes over some seconds after it is gone. Without
it they tell everything twice. "custody run" does this too.`,
		Example: "  custody notify --clickhouse-addresses ch-1:9000 --clickhouse-user custody_detector --kafka-brokers kafka-1:9092\n  custody notify --notify-kafka-enabled=false --notify-webhook-url https://soc.example/custody --notify-webhook-secret-file /run/secrets/webhook",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.detectorHere(); err != nil {
				return err
			}
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "notify")
			if err != nil {
				return err
			}
			held, err := a.lease(cmd.Context(), a.config.Notify.lease(), tel)
			if err != nil {
				return errors.Join(err, tel.close())
			}
			s, err := startNotifier(cmd.Context(), a, tel, held)
			if err == nil && s == nil {
				err = errors.New("nobody is to be told: set notify.kafka.enabled, notify.webhook.url or notify.syslog.address")
			}
			if err != nil {
				return errors.Join(err, tel.close())
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "findings are told. Stop with Ctrl-C.")
			select {
			case <-cmd.Context().Done():
			case <-s.ended: // close says why
			}
			return errors.Join(s.close(), tel.close())
		},
	}, "kafka", "clickhouse", "detect.rules", "notify", "telemetry")
	c.AddCommand(newNotifyUndelivered(a), newNotifyAgain(a))
	return c
}

// detectorHere points at the installation of the data folder, as who may write
// what was told, when no ClickHouse is configured.
func (a *app) detectorHere() error {
	return a.config.localAs(func(e *endpoint) (user, password string) { return embedded.Detector, e.Detector })
}

// notifierService is a notifier that runs.
type notifierService struct {
	stop  context.CancelFunc
	ended chan struct{}
	err   error // why; to be read when it has ended
}

// startNotifier returns nil when nobody is to be told. With a lease it tells only
// while that is held.
func startNotifier(ctx context.Context, a *app, tel *telemetry, held *lease.Lease) (*notifierService, error) {
	c := a.config
	set, err := a.rules()
	if err != nil {
		return nil, err
	}
	if c.Notify.Kafka.Enabled {
		if err := c.Kafka.check(ctx); err != nil {
			return nil, err
		}
	}
	outlets, err := c.Notify.outlets(&c.Kafka)
	if err != nil || len(outlets) == 0 {
		return nil, err
	}
	conn, err := c.ClickHouse.connect(c.ClickHouse.Database)
	if err != nil {
		return nil, err
	}
	n, err := notify.New(notify.Config{
		ClickHouse: conn, Rules: set, Outlets: outlets, Tenants: c.Notify.Tenants, AtLeast: detect.Severity(c.Notify.Severity), Interval: c.Notify.Interval, Logger: a.logger, Meter: tel.meter("notify"),
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	running, stop := context.WithCancel(context.Background())
	s, run := &notifierService{stop: stop, ended: make(chan struct{})}, n.Run
	if held != nil {
		run = func(ctx context.Context) error { return held.Run(ctx, n.Run) }
	}
	go func() {
		defer close(s.ended)
		s.err = errors.Join(run(running), n.Close(), conn.Close())
	}()
	return s, nil
}

func (s *notifierService) close() error {
	if s == nil {
		return nil
	}
	s.stop()
	if <-s.ended; s.err != nil {
		return fmt.Errorf("notifier: %w", s.err)
	}
	return nil
}

func newNotifyUndelivered(a *app) *cobra.Command {
	var tenant, outlet string
	var limit int
	var output *choice
	c := takes(&cobra.Command{
		Use:     "undelivered",
		Short:   "List what an outlet did not take and was given up, the newest first",
		Example: "  custody notify undelivered --tenant acme --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := a.conn(tenant)
			if err != nil {
				return err
			}
			defer conn.Close()
			list, err := notify.Undelivered(cmd.Context(), conn, tenant, outlet, limit)
			if err != nil {
				return err
			}
			return output.print(cmd.OutOrStdout(), append([]*notify.DeadLetter{}, list...), func(w io.Writer) error { return writeDeadLetters(w, list) })
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	c.Flags().StringVar(&outlet, "outlet", "", "only of this outlet: webhook, or NAME-webhook with notify.name")
	c.Flags().IntVar(&limit, "limit", 100, "most of them")
	output = outputFlag(c, "table", "json")
	return c
}

func writeDeadLetters(w io.Writer, list []*notify.DeadLetter) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME\tOUTLET\tTENANT\tFINDING\tATTEMPTS\tERROR")
	for _, d := range list {
		fmt.Fprintln(t, cells(second(d.Time), d.Outlet, d.Tenant, fmt.Sprintf("%.12s", d.Key), fmt.Sprint(d.Attempts), d.Error))
	}
	return t.Flush()
}

func newNotifyAgain(a *app) *cobra.Command {
	var tenant, outlet string
	c := takes(&cobra.Command{
		Use:   "again",
		Short: "Have an outlet told once more of the findings that it did not take",
		Long: `Has the outlet told of the findings of its dead letters, as they stand now, once "custody notify" runs. The dead letters stay:
they are what happened. The ClickHouse user wants the role custody_detector.`,
		Example: "  custody notify again --outlet webhook",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.detectorHere(); err != nil {
				return err
			}
			conn, err := a.config.ClickHouse.connect(a.config.ClickHouse.Database)
			if err != nil {
				return err
			}
			defer conn.Close()
			letters, err := notify.Undelivered(cmd.Context(), conn, tenant, outlet, 10_000)
			if err == nil && len(letters) > 0 {
				err = notify.Again(cmd.Context(), conn, letters)
			}
			if err == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s is told of %d dead letters' findings again\n", outlet, len(letters))
			}
			return err
		},
	}, "clickhouse")
	c.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	c.Flags().StringVar(&outlet, "outlet", "", "the outlet: webhook, or NAME-webhook with notify.name; required")
	_ = c.MarkFlagRequired("outlet") // the flag exists
	return c
}
