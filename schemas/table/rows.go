package table

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Each calls read for each row of the answer to a query, whose parameters and
// settings are in ctx.
func Each(ctx context.Context, conn driver.Conn, sql string, read func(driver.Rows) error) error {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Insert writes the rows that fill adds as one block, which is stored when it returns
// nil. into is the table and its columns: "NAME (COLUMN, ...)".
func Insert(ctx context.Context, conn driver.Conn, into string, fill func(add func(values ...any) error) error) error {
	name, _, _ := strings.Cut(into, " ")
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0}))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+into)
	if err != nil {
		return fmt.Errorf("insert into %s: %w", name, err)
	}
	defer batch.Close()
	if err := fill(batch.Append); err != nil {
		return fmt.Errorf("insert into %s: %w", name, err)
	}
	if batch.Rows() == 0 {
		return nil // Close gives it up
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert into %s: %w", name, err)
	}
	return nil
}
