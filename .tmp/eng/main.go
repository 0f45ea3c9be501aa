package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/custody-audit/custody/deploy/embedded"
)

func main() {
	ctx := context.Background()
	b, err := embedded.EnsureEngine(ctx)
	if err != nil {
		panic(err)
	}
	e, err := embedded.StartEngine(ctx, embedded.EngineConfig{Dir: os.Args[1], Binary: b, Logger: slog.Default()})
	if err != nil {
		panic(err)
	}
	defer e.Close()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{e.Addr()}, Auth: clickhouse.Auth{Username: embedded.Admin, Password: e.Password(embedded.Admin), Database: "custody"}, ReadTimeout: time.Hour})
	if err != nil {
		panic(err)
	}
	for _, f := range os.Args[2:] {
		sql, _ := os.ReadFile(f)
		var read, n uint64
		began := time.Now()
		c := clickhouse.Context(ctx, clickhouse.WithProgress(func(p *clickhouse.Progress) { read += p.Rows }))
		rows, err := conn.Query(c, string(sql))
		if err != nil {
			fmt.Println(f, "ERROR", err)
			continue
		}
		for rows.Next() {
			n++
			if n > 600 {
				continue
			}
			var vs []any
			for _, ct := range rows.ColumnTypes() {
				vs = append(vs, reflect.New(ct.ScanType()).Interface())
			}
			if err := rows.Scan(vs...); err != nil {
				fmt.Println(err)
			}
			for _, v := range vs {
				fmt.Print(reflect.Indirect(reflect.ValueOf(v)).Interface(), "\t")
			}
			fmt.Println()
		}
		fmt.Printf("== %s: %d rows, %d read, %.0f ms, err %v\n", f, n, read, time.Since(began).Seconds()*1e3, rows.Err())
	}
}
