package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/seal"
)

// proofFlags are those of "proof export".
type proofFlags struct {
	tenant, file, key string
	ranges            []string
	at, from          []string
	limit             int
}

func newProofExport(a *app) *cobra.Command {
	var f proofFlags
	c := takes(&cobra.Command{
		Use:   "export [FILTER]",
		Short: "Write events and the proof that they are in the sealed log to one file",
		Long: `Writes a bundle: the exact bytes of the events that pass the filter, the signed checkpoints of their trees, and the proofs from
one to the other. "custody proof verify" checks it without network or service; so does docs/verify/verify.py, which is another
program. What is younger than the newest checkpoint is left out, and said.

With --range the bundle accounts for every record of a range, so that it shows that nothing was left out: records that are not
disclosed are there as their hashes, which tell nothing of them. The ranges are offsets of partitions (PARTITION:FROM-TO, to
exclusive) or one time by the log's clock (TIME/TIME), in all partitions. With --from-checkpoint it proves that the log has only
grown since an earlier checkpoint, with --at it is about those checkpoints and not the newest: both take a checkpoint, a copy of
the folder of checkpoints, or an earlier bundle. The same request about the same checkpoints gives the same bytes.

The manifest is signed with --seal-key-file, or with --report-key-file by a key that the reader's policy names as "report".`,
		Example: "  custody proof export 'tenant:acme decision:deny' -o evidence.zip\n" +
			"  custody proof export --tenant acme --range 2026-07-01T00:00:00Z/2026-10-01T00:00:00Z --from-checkpoint q2.zip -o q3.zip",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.exportProof(cmd, strings.Join(args, " "), &f)
		},
	}, "clickhouse", "search", "seal.dir", "seal.key_file", "seal.trust")
	c.Flags().StringVarP(&f.file, "file", "o", "", "write here")
	c.Flags().StringVar(&f.tenant, "tenant", "", "only this tenant's events are disclosed")
	c.Flags().StringArrayVar(&f.ranges, "range", nil, "account for every record: PARTITION:FROM-TO in offsets (may be repeated), or TIME/TIME")
	c.Flags().StringArrayVar(&f.from, "from-checkpoint", nil, "prove that the log continues these: a checkpoint, a folder of them, or a bundle")
	c.Flags().StringArrayVar(&f.at, "at", nil, "use these checkpoints and not the newest: a checkpoint, a folder of them, or a bundle")
	c.Flags().StringVar(&f.key, "report-key-file", "", "sign the manifest with this key; empty: with seal.key_file")
	c.Flags().IntVar(&f.limit, "limit", proof.DefaultLimit, "fail beyond so many events")
	_ = c.MarkFlagRequired("file") // the flag exists
	return c
}

func (a *app) exportProof(cmd *cobra.Command, text string, f *proofFlags) error {
	cfg, done, err := a.proofConfig(f)
	if err != nil {
		return err
	}
	defer done()
	req := proof.Request{Query: text, Tenant: f.tenant, Limit: f.limit}
	var errs [4]error
	req.Filter, errs[0] = a.filter(text)
	req.Ranges, errs[1] = proof.ParseRanges(f.ranges)
	req.At, errs[2] = checkpointsAt(f.at)
	req.From, errs[3] = checkpointsAt(f.from)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	var got *proof.Result
	err = whole(f.file, func(w io.Writer) (err error) {
		got, err = proof.Export(cmd.Context(), *cfg, req, w)
		return err
	})
	if err != nil {
		return err
	}
	say := cmd.ErrOrStderr()
	fmt.Fprintf(say, "%d events of %d trees in %s; the log's key, which a reader should have from elsewhere too:\n%s\n", got.Events, got.Trees, f.file,
		seal.VerifierKey(cfg.Ring.Log(), cfg.Ring.Current()))
	if got.Unwitnessed {
		fmt.Fprintln(say, "unwitnessed: no witness cosigned some of the checkpoints")
	}
	if got.Unsealed > 0 {
		fmt.Fprintf(say, "%d events are younger than the checkpoints and were left out\n", got.Unsealed)
	}
	return nil
}

// proofTimeout bounds one query of an export; a reader has 5 min at the most.
const proofTimeout = 4 * time.Minute

// proofConfig opens what an export reads. Whose events are disclosed is the
// reader's tenant; the hashes beside them are those of all.
func (a *app) proofConfig(f *proofFlags) (*proof.Config, func() error, error) {
	cfg, err := a.config.Seal.of(a.config.DataDir).proofs(f.key)
	if err != nil {
		return nil, nil, err
	}
	if cfg.ClickHouse, err = a.conn(""); err != nil {
		return nil, nil, err
	}
	if cfg.Reader, err = query.New(query.Config{ClickHouse: cfg.ClickHouse, Tenant: f.tenant, Timeout: proofTimeout}); err != nil {
		return nil, nil, errors.Join(err, cfg.ClickHouse.Close())
	}
	return cfg, cfg.ClickHouse.Close, nil
}

// proofs is what bundles are made of but for ClickHouse, signed with a key for
// reports or else that of the log.
func (c sealConfig) proofs(reportKey string) (*proof.Config, error) {
	folder, ring, err := c.trusted()
	if err != nil {
		return nil, err
	}
	file := cmp.Or(reportKey, c.KeyFile)
	if file == "" {
		return nil, errors.New("nothing signs the manifest: name a key with --report-key-file (\"custody seal keygen\" makes one) or --seal-key-file")
	}
	key, err := seal.ReadKey(file)
	if err != nil {
		return nil, err
	}
	return &proof.Config{Folder: folder, Ring: ring, Key: key}, nil
}
