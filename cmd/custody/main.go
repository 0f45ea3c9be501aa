// Command custody is the chain-of-custody audit pipeline for the identities of
// AI agents: collector, processor and the questions one asks, one verb a file.
// It stands at the end of the flow: it imports every stage and none imports it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/schemas/event"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		var code exitCode
		if errors.As(err, &code) {
			os.Exit(int(code))
		}
		fmt.Fprintln(os.Stderr, "custody:", event.Visible(err.Error(), "\n\t"))
		os.Exit(1)
	}
}

// app is what all verbs share; it is complete when a verb begins.
type app struct {
	config *config
	logger *slog.Logger
}

// version is set by the linker, see deploy/image/Dockerfile.
var version = "dev"

func newRoot() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:     "custody",
		Version: version,
		Short:   "Who really did it, on whose behalf, with which token, and who allowed it",
		Long: `Custody collects token exchanges, tool calls and permission decisions of MCP servers, gateways, token services
and policy engines, keeps them as evidence, and answers who really did it, on whose behalf, and who allowed it.

Settings come from flags, from the environment (CUSTODY_ and the key in capitals, as CUSTODY_KAFKA_BROKERS), and from
` + defaultFile + ` in the working folder or the file that --config names, in this order.`,
		Example: `  custody demo
  custody search 'kind:tool_invocation outcome:denied last:24h'
  custody chain EVENT_ID`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: a.begin,
	}
	root.SetOut(&terminal{to: os.Stdout})
	flags := root.PersistentFlags()
	flags.String("config", os.Getenv("CUSTODY_CONFIG"), "configuration file (YAML); CUSTODY_CONFIG names it too")
	for _, s := range settings() {
		if s.Key == "data_dir" || s.Key == "log.level" || s.Key == "log.format" {
			s.add(flags)
		}
	}
	root.AddCommand(newRun(a), newCollect(a), newProcess(a), newDetect(a), newNotify(a), newDemo(a), newBench(a), newFaults(),
		newSeal(a), newWitness(a), newReconcile(a), newRetention(a), newHold(a), newSubject(a), newServe(a), newConsole(a), newAPIKey(a),
		newSearch(a), newExport(a), newProof(a), newQueries(a), newSQL(a), newChain(a), newBlast(a), newFindings(a), newRule(a), newVerdicts(a), newPrivilege(a), newReview(a), newQuarantine(a), newDeadLetter(a),
		newRegistry(a), newSource(a), newTail(a), newPollKeycloak(a), newScan(a), newMCPProxy(a), newMCPTap(a), newTokenRef(),
		newSchema(a), newOffsets(a), newDoctor(a), newHealth(a), newDashboards(a), newMan(), newReference())
	return root
}

// begin reads the configuration before any verb.
func (a *app) begin(cmd *cobra.Command, _ []string) error {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return err
	}
	if a.config, err = loadConfig(file, os.Environ(), cmd.Flags()); err != nil {
		return err
	}
	a.logger = newLogger(a.config.Log)
	slog.SetDefault(a.logger) // libraries log there
	return nil
}

var discard = slog.New(slog.DiscardHandler)

func newLogger(c logConfig) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // validated
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
