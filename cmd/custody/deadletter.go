package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/deadletter"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/topic"
)

func newDeadLetter(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "deadletter",
		Short: "See what no event could be made of, and put back what can be read by now",
		Long: `A record of custody.events that is no event is stored in ClickHouse with state "malformed", and kept in custody.deadletter
with its bytes and the reason. These verbs read that topic, without a consumer group; tenant and source are what the
record's headers claim. Control characters are shown as \u and four digits.`,
	}
	c.AddCommand(newDeadLetterList(a), newDeadLetterShow(a), newDeadLetterReplay(a))
	return c
}

// letters connects to the dead-letter topic of the configured Kafka, or of the
// installation of the data folder.
func (a *app) letters(ctx context.Context) (*deadletter.Reader, *kafka.Client, error) {
	if len(a.config.Kafka.Brokers) == 0 {
		if err := a.config.local(""); err != nil {
			return nil, nil, err
		}
	}
	client, err := a.config.Kafka.client(ctx)
	if err != nil {
		return nil, nil, err
	}
	client.Timeout = time.Minute // a fetch may wait
	return deadletter.New(client, topic.Name(a.config.Kafka.TopicPrefix, topic.DeadLetter)), client, nil
}

// letterFlags adds what selects letters.
func letterFlags(c *cobra.Command, since string) (filter func() (deadletter.Filter, error)) {
	var f deadletter.Filter
	var from, until string
	flags := c.Flags()
	flags.StringVar(&f.Tenant, "tenant", "", "only of this tenant, as the headers claim")
	flags.StringVar(&f.Source, "source", "", "only of this source, as the headers claim")
	flags.StringVar(&f.Reason, "reason", "", "only where the reason contains this")
	flags.StringVar(&from, "since", since, "buried since then: a time (RFC 3339), or a duration as 24h before now; empty: all that Kafka has")
	flags.StringVar(&until, "until", "", "buried before then; empty: up to now")
	return func() (deadletter.Filter, error) {
		var err1, err2 error
		f.Since, err1 = moment("--since", from)
		f.Until, err2 = moment("--until", until)
		return f, errors.Join(err1, err2)
	}
}

// moment reads a time, or a duration before now; empty is the zero time.
func moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("%s %q: want a time as 2026-11-26T10:00:00Z, or a duration as 24h", flag, text)
	}
	return t, nil
}

// letterPage is what "list" answers.
type letterPage struct {
	Letters []*deadletter.Letter `json:"letters"` // the newest, oldest first
	Matched int                  `json:"matched"` // of which the letters are the newest
	Read    int                  `json:"read"`
}

func newDeadLetterList(a *app) *cobra.Command {
	var limit int
	var output *choice
	c := takes(&cobra.Command{
		Use:     "list",
		Short:   "List dead letters, the newest last",
		Example: "  custody deadletter list\n  custody deadletter list --tenant acme --reason schema_version --since 720h --output json",
		Args:    cobra.NoArgs,
	}, "kafka")
	filter := letterFlags(c, "168h")
	c.Flags().IntVar(&limit, "limit", 100, "most letters: the newest")
	output = outputFlag(c, "table", "json")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		f, err := filter()
		if err == nil && limit < 1 {
			err = fmt.Errorf("--limit %d: want at least 1", limit)
		}
		if err != nil {
			return err
		}
		r, _, err := a.letters(cmd.Context())
		if err != nil {
			return err
		}
		page, err := newestLetters(cmd.Context(), r, f, limit)
		if err != nil {
			return err
		}
		if output.value == "json" {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(page)
		}
		return page.write(cmd.OutOrStdout())
	}
	return c
}

// newestLetters keeps the newest while it reads, without their bytes.
func newestLetters(ctx context.Context, r *deadletter.Reader, f deadletter.Filter, limit int) (*letterPage, error) {
	page := &letterPage{Letters: []*deadletter.Letter{}}
	var err error
	page.Read, err = r.Each(ctx, f, func(l *deadletter.Letter) error {
		page.Matched++
		l.Key, l.Value, l.Headers = nil, nil, nil
		if page.Letters = append(page.Letters, l); len(page.Letters) >= 2*limit {
			page.Letters = append(page.Letters[:0], page.Letters[len(page.Letters)-limit:]...)
		}
		return nil
	})
	if n := len(page.Letters) - limit; n > 0 {
		page.Letters = page.Letters[n:]
	}
	return page, err
}

func (p *letterPage) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME\tTENANT\tSOURCE\tBYTES\tPOSITION\tFROM\tREASON")
	for _, l := range p.Letters {
		fmt.Fprintln(t, cells(l.Time.Format("2006-01-02T15:04:05Z"), l.Tenant, l.Source, fmt.Sprint(l.Size), l.Position.String(), l.Origin.String(), l.Reason))
	}
	if more := p.Matched - len(p.Letters); more > 0 {
		fmt.Fprintf(t, "%d older ones: give --limit or --until\n", more)
	}
	return t.Flush()
}

func newDeadLetterShow(a *app) *cobra.Command {
	var output *choice
	c := takes(&cobra.Command{
		Use:   "show POSITION",
		Short: "Show a dead letter: what it is, its headers and its bytes",
		Long: `Shows the letter at PARTITION/OFFSET, as "list" writes it. "text" shows the bytes as text where they are text, and in
hexadecimal where not; "raw" writes exactly the bytes, to a file or pipe.`,
		Example: "  custody deadletter show 0/41\n  custody deadletter show 0/41 --output raw >record",
		Args:    cobra.ExactArgs(1),
	}, "kafka")
	output = outputFlag(c, "text", "hex", "json", "raw")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		at, err := deadletter.ParsePosition(args[0])
		if err != nil {
			return err
		}
		r, _, err := a.letters(cmd.Context())
		if err != nil {
			return err
		}
		l, err := r.At(cmd.Context(), at)
		if err != nil {
			return err
		}
		switch output.value {
		case "json":
			return json.NewEncoder(cmd.OutOrStdout()).Encode(newShownLetter(l))
		case "raw":
			return writeRaw(cmd.OutOrStdout(), l.Value)
		}
		return writeLetter(cmd.OutOrStdout(), newShownLetter(l), output.value == "hex")
	}
	return c
}

// shownLetter is a letter with everything it has.
type shownLetter struct {
	*deadletter.Letter
	Headers  []shownHeader `json:"headers"`
	Key      []byte        `json:"key_base64"`
	Value    []byte        `json:"value_base64"`
	Text     string        `json:"value,omitempty"` // when it is text
	LeafHash string        `json:"leaf_hash"`       // by which records has the same bytes
	Unread   string        `json:"unreadable,omitempty"`
}

type shownHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func newShownLetter(l *deadletter.Letter) *shownLetter {
	leaf := tlog.RecordHash(l.Value)
	s := &shownLetter{Letter: l, Headers: []shownHeader{}, Key: l.Key, Value: l.Value, LeafHash: hex.EncodeToString(leaf[:])}
	for _, h := range l.Headers {
		s.Headers = append(s.Headers, shownHeader{h.Key, string(h.Value)})
	}
	if utf8.Valid(l.Value) {
		s.Text = string(l.Value)
	}
	if err := l.Readable(); err != nil {
		s.Unread = err.Error()
	}
	return s
}

func writeLetter(w io.Writer, l *shownLetter, inHex bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	readable := "yes: \"custody deadletter replay " + l.Position.String() + "\" puts it back"
	if l.Unread != "" {
		readable = "no: " + l.Unread
	}
	for _, line := range [][2]string{
		{"position", l.Position.String()}, {"buried", l.Time.Format(time.RFC3339Nano)}, {"from", l.Origin.String()}, {"reason", l.Reason}, {"readable now", readable},
		{"tenant", l.Tenant}, {"source", l.Source}, {"key", string(l.Key)}, {"leaf hash", l.LeafHash}, {"bytes", fmt.Sprint(l.Size)},
	} {
		fmt.Fprintln(t, cells(line[0], line[1]))
	}
	for _, h := range l.Headers {
		fmt.Fprintln(t, cells("header "+h.Key, h.Value))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if inHex || l.Text == "" {
		_, err := fmt.Fprintf(w, "\n%s", hex.Dump(l.Value))
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", event.Visible(l.Text, "\n\t"))
	return err
}

// writeRaw writes bytes as they are, and not to a person's terminal.
func writeRaw(w io.Writer, b []byte) error {
	if t, ok := w.(*terminal); ok {
		w = t.to
	}
	if f, ok := w.(*os.File); ok && onTerminal(f) {
		return errors.New("--output raw: want a file or a pipe; a terminal obeys what it is shown")
	}
	_, err := w.Write(b)
	return err
}
