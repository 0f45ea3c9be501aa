package table

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// MigrationStatus is one migration as the database has it.
type MigrationStatus struct {
	Migration string `json:"migration"`
	Applied   bool   `json:"applied"`
	Problem   string `json:"problem,omitempty"`
}

// Migrate applies what is missing, in order, and returns what it applied. conn
// must be allowed to create tables in its database. Several may run at the same
// time: what two of them do is done twice, which changes nothing. A recorded migration with another SHA-256 is an error
// and nothing is applied: the file was edited after release.
func Migrate(ctx context.Context, conn driver.Conn) ([]string, error) {
	return migrate(ctx, []driver.Conn{conn}, func(m Migration) ([]string, error) { return []string{statement(m.SQL)}, nil })
}

// migrate applies each migration to all servers that lack it before the next one.
func migrate(ctx context.Context, conns []driver.Conn, statements func(Migration) ([]string, error)) ([]string, error) {
	var applied []string
	var status [][]MigrationStatus
	for _, conn := range conns {
		found, err := Check(ctx, conn)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			if s.Problem != "" && s.Applied {
				return nil, fmt.Errorf("migration %s: %s", s.Migration, s.Problem)
			}
		}
		status = append(status, found)
	}
	migrations, err := Migrations()
	if err != nil {
		return nil, err
	}
	for i, m := range migrations {
		pending, err := statements(m)
		if err != nil {
			return applied, err
		}
		done := false
		for n, conn := range conns {
			if status[n][i].Applied {
				continue
			}
			if err := apply(ctx, conn, m, pending); err != nil {
				return applied, err
			}
			done = true
		}
		if done {
			applied = append(applied, m.Name)
		}
	}
	return applied, nil
}

func apply(ctx context.Context, conn driver.Conn, m Migration, statements []string) error {
	for _, sql := range statements {
		if err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("apply %s: %w", m.Name, err)
		}
	}
	if err := conn.Exec(ctx, "INSERT INTO migrations (id, name, sha256) SETTINGS async_insert = 0 VALUES (?, ?, ?)", m.ID, m.Name, m.SHA256); err != nil {
		return fmt.Errorf("record %s: %w", m.Name, err)
	}
	return nil
}

// statement drops the leading comment, which the client would take for part of the query.
func statement(sql string) string {
	for strings.HasPrefix(sql, "--") {
		_, sql, _ = strings.Cut(sql, "\n")
	}
	return strings.TrimSpace(sql)
}

// Check compares what is applied with what this program has, without changing anything.
func Check(ctx context.Context, conn driver.Conn) ([]MigrationStatus, error) {
	migrations, err := Migrations()
	if err != nil {
		return nil, err
	}
	recorded, err := recorded(ctx, conn)
	if err != nil {
		return nil, err
	}
	var out []MigrationStatus
	for _, m := range migrations {
		s := MigrationStatus{Migration: m.Name}
		switch r, ok := recorded[m.ID]; {
		case !ok:
			s.Problem = "not applied: run \"custody schema migrate\""
		case r != m.SHA256:
			s.Applied = true
			s.Problem = fmt.Sprintf("applied with SHA-256 %.12s..., this program has %.12s...: use the release that applied it, or restore the file", r, m.SHA256)
		default:
			s.Applied = true
		}
		delete(recorded, m.ID)
		out = append(out, s)
	}
	for id := range recorded {
		return nil, fmt.Errorf("the database has migration %d, which this program does not know: it was migrated by a newer release", id)
	}
	return out, nil
}

func recorded(ctx context.Context, conn driver.Conn) (map[uint32]string, error) {
	var exists uint8
	if err := conn.QueryRow(ctx, "EXISTS TABLE migrations").Scan(&exists); err != nil {
		return nil, fmt.Errorf("look for the migrations table: %w", err)
	}
	out := map[uint32]string{}
	if exists == 0 {
		return out, nil
	}
	rows, err := conn.Query(ctx, "SELECT id, sha256 FROM migrations FINAL")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id uint32
		var sum string
		if err := rows.Scan(&id, &sum); err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
		out[id] = sum
	}
	return out, rows.Err()
}
