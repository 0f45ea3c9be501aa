package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

// startFlags are what verbs that begin with a token, an event or somebody have in common.
type startFlags struct {
	tenant string
	last   string
	stdin  bool
	across bool
}

// add gives a verb the flags; across says what crossing tenants does in it.
func (s *startFlags) add(c *cobra.Command, last, across string) {
	c.Flags().BoolVar(&s.across, "across-tenants", false, across+"; without --tenant, and for who may see all")
	c.Flags().StringVar(&s.tenant, "tenant", "", "only this tenant")
	c.Flags().StringVar(&s.last, "last", last, "how far back a principal's or a tool's calls are looked for, as 24h or 30d")
	c.Flags().BoolVar(&s.stdin, "token-stdin", false, "begin with the token on stdin; it is hashed here and goes nowhere (- does the same)")
}

// starts are what to ask for, the first that is known counts: a token has two
// references, and which of them events use depends on who reported it.
func (s *startFlags) starts(a *app, cmd *cobra.Command, args []string) ([]string, error) {
	given, stdin := strings.Join(args, " "), s.stdin
	if given == "-" {
		given, stdin = "", true
	}
	if stdin == (given != "") {
		return nil, errors.New("want one start: " + query.StartForms + ", or --token-stdin")
	}
	if !stdin {
		return []string{given}, nil
	}
	token, err := tokenFrom(cmd.InOrStdin())
	if err != nil {
		return nil, err
	}
	starts := []string{event.TokenRef(token)}
	key, err := a.config.Collector.redactKey()
	if err != nil {
		return nil, err
	}
	if key != nil {
		starts = append(starts, event.SecretRef(a.config.Collector.Redact.KeyID, key, token))
	}
	return starts, nil
}

// tokenFrom reads one line; what is wrong with it is said without it.
func tokenFrom(in io.Reader) (string, error) {
	line, err := bufio.NewReader(in).ReadString('\n')
	token := strings.TrimSpace(line)
	if token == "" {
		return "", errors.Join(errors.New("want a token on stdin"), err)
	}
	return token, nil
}

func (s *startFlags) window(now time.Time) (from time.Time, err error) {
	d, err := query.ParseDuration(s.last)
	if err != nil {
		return time.Time{}, fmt.Errorf("--last: %w", err)
	}
	return now.Add(-d), nil
}

// askFrom asks about the start that the verb was given.
func askFrom[T any](a *app, cmd *cobra.Command, args []string, s *startFlags, ask func(r *query.Reader, start string, o query.ChainOptions) (T, error)) (found T, err error) {
	starts, err := s.starts(a, cmd, args)
	if err != nil {
		return found, err
	}
	options := query.ChainOptions{Across: s.across}
	if options.From, err = s.window(time.Now()); err != nil {
		return found, err
	}
	r, done, err := a.reader(s.tenant)
	if err != nil {
		return found, err
	}
	defer done()
	return firstKnown(starts, func(start string) (T, error) { return ask(r, start, options) })
}

func newChain(a *app) *cobra.Command {
	var flags startFlags
	var output *choice
	c := takes(&cobra.Command{
		Use:   "chain START",
		Short: "Reconstruct the delegation chain of an event, a token, a trace, a principal or a tool call",
		Long: `START is ` + query.StartForms + `.
The chain goes up to whoever it began with and down to everything that was derived. With --token-stdin it begins with a token in
hand; where collector.redact.key_file is set, references of API keys are tried too.`,
		Example: "  custody chain 019e2b7c-...\n  custody chain --token-stdin < token.txt\n  custody chain principal:planner --last 7d --output timeline\n  custody chain deploy-mcp/deploy_service --last 1h --output dot | dot -Tsvg >chain.svg",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := askFrom(a, cmd, args, &flags, func(r *query.Reader, start string, o query.ChainOptions) (*query.Chains, error) {
				return r.ChainOf(cmd.Context(), start, o)
			})
			if err != nil {
				return err
			}
			return writeChains(cmd.OutOrStdout(), found, output.value)
		},
	}, "clickhouse", "collector.redact")
	flags.add(c, "24h", "join what several tenants' events say of a token")
	output = outputFlag(c, "tree", "json", "dot", "mermaid", "timeline")
	return c
}

// firstKnown asks for the starts in turn until one is known.
func firstKnown[T any](starts []string, ask func(string) (T, error)) (found T, err error) {
	for _, start := range starts {
		if found, err = ask(start); !errors.Is(err, query.ErrNotFound) {
			break
		}
	}
	return found, err
}

func writeChains(w io.Writer, found *query.Chains, output string) error {
	switch output {
	case "json":
		return json.NewEncoder(w).Encode(found)
	case "dot":
		return chain.WriteDOT(w, found.Chains)
	case "mermaid":
		return chain.WriteMermaid(w, found.Chains)
	case "timeline":
		return chain.WriteTimeline(w, found.Chains)
	}
	for _, c := range found.Chains {
		if err := c.WriteTree(w); err != nil {
			return err
		}
	}
	if len(found.OtherTenants) > 0 {
		fmt.Fprintf(w, "the token is known in %s too\n", strings.Join(found.OtherTenants, ", "))
	}
	for _, cut := range found.Cut {
		fmt.Fprintln(w, "cut:", cut)
	}
	return nil
}
