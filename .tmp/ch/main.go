package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "ERROR", err)
		os.Exit(1)
	}
}

func main() {
	ctx := context.Background()
	switch os.Args[1] {
	case "keep": // DIR OUT
		dir, out := os.Args[2], os.Args[3]
		must(os.MkdirAll(filepath.Join(dir, "config.d"), 0o755))
		must(os.MkdirAll(filepath.Join(out, "backups"), 0o755))
		must(os.WriteFile(filepath.Join(dir, "config.d", "backups.xml"), []byte("<clickhouse><backups><allowed_path>"+out+"/backups/</allowed_path></backups></clickhouse>"), 0o644))
		b, err := embedded.EnsureEngine(ctx)
		must(err)
		e, err := embedded.StartEngine(ctx, embedded.EngineConfig{Dir: dir, Binary: b, Logger: slog.Default()})
		must(err)
		for _, u := range []string{embedded.Admin, embedded.Writer, embedded.Detector, embedded.Retainer, embedded.Analyst, embedded.Handler, embedded.Registrar} {
			must(os.WriteFile(filepath.Join(out, u), []byte(e.Password(u)), 0o600))
		}
		must(os.WriteFile(filepath.Join(out, "addr"), []byte(e.Addr()), 0o600))
		c := make(chan os.Signal, 1)
		signal.Notify(c, os.Interrupt, syscall.SIGTERM)
		<-c
		e.Close()
	case "sql": // OUT USER DB SQL...
		out, user, db := os.Args[2], os.Args[3], os.Args[4]
		addr, _ := os.ReadFile(filepath.Join(out, "addr"))
		pw, _ := os.ReadFile(filepath.Join(out, user))
		conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{string(addr)}, Auth: clickhouse.Auth{Username: user, Password: string(pw), Database: db}, ReadTimeout: time.Hour})
		must(err)
		for _, sql := range os.Args[5:] {
			if strings.HasPrefix(sql, "DROP") || strings.HasPrefix(sql, "CREATE") {
				must(conn.Exec(ctx, sql))
				continue
			}
			rows, err := conn.Query(ctx, sql)
			must(err)
			for rows.Next() {
				var vs []any
				for _, ct := range rows.ColumnTypes() {
					vs = append(vs, reflect.New(ct.ScanType()).Interface())
				}
				must(rows.Scan(vs...))
				for _, v := range vs {
					fmt.Print(reflect.Indirect(reflect.ValueOf(v)).Interface(), "\t")
				}
				fmt.Println()
			}
			must(rows.Err())
		}
	case "commit": // BROKER GROUP TOPIC < lines
		c := &kafka.Client{Addr: kafka.TCP(os.Args[2])}
		var list []kafka.OffsetCommit
		b, _ := os.ReadFile("/dev/stdin")
		for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
			var p int
			var o int64
			fmt.Sscan(line, &p, &o)
			if o < 0 {
				continue
			}
			list = append(list, kafka.OffsetCommit{Partition: p, Offset: o, Metadata: strings.TrimSpace(strings.SplitN(line, " ", 3)[2])})
		}
		r, err := c.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: os.Args[3], GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{os.Args[4]: list}})
		must(err)
		for _, ps := range r.Topics {
			for _, p := range ps {
				fmt.Println(p.Partition, p.Error)
			}
		}
	case "offsets": // BROKER GROUP TOPIC
		c := &kafka.Client{Addr: kafka.TCP(os.Args[2])}
		r, err := c.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: os.Args[3], Topics: map[string][]int{os.Args[4]: {0, 1, 2, 3, 4, 5}}})
		must(err)
		for _, ps := range r.Topics {
			for _, p := range ps {
				fmt.Println(p.Partition, p.CommittedOffset, p.Metadata)
			}
		}
	}
}
