package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/worklist"
)

// deed is a verb that does something about findings.
type deed struct {
	name, operation, short, example string
	// flags adds what the verb wants, into the body of the request.
	flags func(c *cobra.Command, body map[string]*string)
	// wants are the flags that must be there.
	wants []string
}

func text(c *cobra.Command, body map[string]*string, name, help string) {
	body[name] = c.Flags().String(name, "", help)
}

func newFindingsActs(a *app) []*cobra.Command {
	comment := func(c *cobra.Command, body map[string]*string) { text(c, body, "comment", "what there is to say") }
	reason := func(c *cobra.Command, body map[string]*string) { text(c, body, "reason", "why; required") }
	var out []*cobra.Command
	for _, d := range []deed{
		{"ack", "acknowledge", "Say that findings were seen", "  custody findings ack 3fa9c01b2d44", comment, nil},
		{"assign", "assign", "Say who is to handle findings", "  custody findings assign 3fa9c01b2d44 --to bob\n  custody findings assign 3fa9c01b2d44 --to ''", func(c *cobra.Command, body map[string]*string) {
			body["assignee"] = c.Flags().String("to", "", "who is to handle them; empty: nobody any more; required")
			comment(c, body)
		}, []string{"to"}},
		{"comment", "comment", "Write something about findings", "  custody findings comment 3fa9c01b2d44 --comment 'asked the owner'", comment, []string{"comment"}},
		{"resolve", "resolve", "Say that findings are dealt with; they open again when more is found", "  custody findings resolve 3fa9c01b2d44 --reason 'token revoked'", reason, []string{"reason"}},
		{"except", "except", "Accept findings until a time; then they are open again", "  custody findings except 3fa9c01b2d44 --until 2026-12-31 --reason 'replaced by then, CHG-42'", func(c *cobra.Command, body map[string]*string) {
			text(c, body, "until", "when the exception ends: a day, a time (RFC 3339), or from now, as 30d or 12h; required")
			reason(c, body)
		}, []string{"until", "reason"}},
		{"reopen", "reopen", "Want findings to be looked at again", "  custody findings reopen 3fa9c01b2d44 --reason 'it goes on'", reason, []string{"reason"}},
	} {
		out = append(out, newFindingsAct(a, d))
	}
	return out
}

func newFindingsAct(a *app, d deed) *cobra.Command {
	var tenant, revision string
	var output *choice
	body := map[string]*string{}
	c := takes(&cobra.Command{
		Use:   d.name + " KEY...",
		Short: d.short,
		Long: d.short + `. It is done through the HTTP API, that of --data-dir or of api.url: the key that is used is who did it. It
becomes part of the finding's history and an event of type custody.change in the tenant's log. The first digits of a key suffice.`,
		Example: d.example,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if revision != "" && len(args) > 1 {
				return errors.New("--revision goes with one finding")
			}
			client, err := a.apiClient()
			if err != nil {
				return err
			}
			said := map[string]string{}
			for name, value := range body {
				if *value != "" || name == "assignee" {
					said[name] = *value
				}
			}
			if until := said["until"]; until != "" {
				end, err := deadline(until, time.Now())
				if err != nil {
					return err
				}
				said["until"] = end.UTC().Format(time.RFC3339)
			}
			return a.act(cmd, client, d.operation, request{keys: args, tenant: tenant, revision: revision, body: said}, output)
		},
	}, "api")
	d.flags(c, body)
	for _, name := range d.wants {
		_ = c.MarkFlagRequired(name) // the flags exist
	}
	c.Flags().StringVar(&tenant, "tenant", "", "tenant of the findings, for a key of several")
	c.Flags().StringVar(&revision, "revision", "", "only if the finding still has this revision")
	output = outputFlag(c, "table", "json")
	return c
}

// request is what is to be done.
type request struct {
	keys             []string
	tenant, revision string
	body             map[string]string
}

// act does it to one finding after the other; one that is refused does not keep
// it from the rest.
func (a *app) act(cmd *cobra.Command, client *apiClient, operation string, r request, output *choice) error {
	answers, list, errs := []findingAnswer{}, []*worklist.Finding{}, []error{}
	for _, key := range r.keys {
		path := "/findings/" + url.PathEscape(key) + "/" + operation
		if r.tenant != "" {
			path += "?tenant=" + url.QueryEscape(r.tenant)
		}
		var answer struct {
			Finding *worklist.Finding
			History []*worklist.Entry
		}
		if err := client.do(cmd.Context(), http.MethodPost, path, r.revision, r.body, &answer); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
			continue
		}
		answers, list = append(answers, findingAnswer{answer.Finding, answer.History}), append(list, answer.Finding)
	}
	if len(list) > 0 {
		errs = append(errs, output.print(cmd.OutOrStdout(), answers, func(w io.Writer) error { return writeWorklist(w, list) }))
	}
	return errors.Join(errs...)
}

// deadline reads a time to come: a day, a time, or from now.
func deadline(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 10_000 {
			return now.AddDate(0, 0, n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	return time.Time{}, fmt.Errorf("--until %q: want a day (2026-12-31), a time (RFC 3339), or from now, as 30d or 12h", text)
}

// pause waits, unless ctx is done first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
