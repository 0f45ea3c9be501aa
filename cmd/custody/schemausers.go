package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

func newSchemaUsers(a *app) *cobra.Command {
	var tenants []string
	var dir string
	c := takes(&cobra.Command{
		Use:   "users",
		Short: "Print a users file for a ClickHouse that keeps its users in files, and make their passwords",
		Long: `Prints a file for the server's users.d with the administrator of the schema, a user for each role of "custody schema roles", and
an auditor per tenant who sees that tenant's rows only. It holds hashes; the passwords are files in --password-dir, named as the users,
and stay when they are there.`,
		Example: "  custody schema users --tenant acme --password-dir secrets >users.d/custody.xml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, tenant := range tenants {
				if !event.ValidTenant(tenant) {
					return fmt.Errorf("--tenant %q: want lower-case letters, digits, - and _, at most 63", tenant)
				}
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return fmt.Errorf("--password-dir: %w", err)
			}
			file, err := table.Users(a.config.ClickHouse.Database, tenants, func(user string) (string, error) { return ensurePassword(filepath.Join(dir, user)) })
			if err == nil {
				_, err = fmt.Fprint(cmd.OutOrStdout(), file)
			}
			return err
		},
	}, "clickhouse.database")
	c.Flags().StringSliceVar(&tenants, "tenant", nil, "tenants that get an auditor")
	c.Flags().StringVar(&dir, "password-dir", "", "folder of the passwords")
	_ = c.MarkFlagRequired("password-dir") // the flag exists
	return c
}

// ensurePassword returns what is in a file, and fills it first where there is none.
func ensurePassword(file string) (string, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(rand.Text())
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	password := strings.TrimSpace(string(b))
	if password == "" {
		return "", fmt.Errorf("password: %s is empty", file)
	}
	return password, nil
}
