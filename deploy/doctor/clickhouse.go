package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/table"
)

// tested is the release of ClickHouse that the tests run on.
var tested = [2]uint64{26, 7}

// ClickHouse looks at each address, and at the schema, the grants of the user and the
// clock if one answers. Grants are written as in table.Grants, with DATABASE.
func ClickHouse(o *clickhouse.Options, grants []string) Check {
	return func(ctx context.Context) []Finding {
		var out []Finding
		var conn driver.Conn
		for _, address := range o.Addr {
			one := *o
			one.Addr, one.Auth.Database = []string{address}, ""
			c, err := clickhouse.Open(&one)
			if err == nil {
				err = c.Ping(ctx)
			}
			if err != nil {
				out = append(out, failed("clickhouse.address", fmt.Sprintf("%s: %v", address, err), clickhouseNext(err)))
				continue
			}
			defer c.Close()
			out = append(out, ok("clickhouse.address", fmt.Sprintf("%s answers to %s", address, cmp.Or(o.Auth.Username, "default"))))
			conn = c
		}
		if conn == nil {
			return append(out, skipped("clickhouse.schema", "no ClickHouse answers", "mend clickhouse.address first"))
		}
		out = append(out, version(conn), clock(ctx, conn))
		return append(append(out, granted(ctx, conn, o.Auth.Database, grants)...), migrated(ctx, o))
	}
}

func clickhouseNext(err error) string {
	var e *clickhouse.Exception
	if errors.As(err, &e) && e.Code == 516 {
		return "correct clickhouse.user or clickhouse.password_file, or create the user: custody schema roles"
	}
	return "start ClickHouse, or correct clickhouse.addresses (the native protocol: 9000, with TLS 9440) and clickhouse.tls"
}

func version(conn driver.Conn) Finding {
	v, err := conn.ServerVersion()
	if err != nil {
		return failed("clickhouse.version", err.Error(), "see ClickHouse's log")
	}
	text := fmt.Sprintf("%d.%d", v.Version.Major, v.Version.Minor)
	if v.Version.Major < tested[0] || v.Version.Major == tested[0] && v.Version.Minor < tested[1] {
		return warning("clickhouse.version", "this is "+text, fmt.Sprintf("Custody is tested with %d.%d: use that or a newer one", tested[0], tested[1]))
	}
	return ok("clickhouse.version", text)
}

func clock(ctx context.Context, conn driver.Conn) Finding {
	before := time.Now()
	var there time.Time
	if err := conn.QueryRow(ctx, "SELECT now64(6, 'UTC')").Scan(&there); err != nil {
		return failed("clock", err.Error(), "see ClickHouse's log")
	}
	here := before.Add(time.Since(before) / 2)
	apart := there.Sub(here).Abs().Round(time.Millisecond)
	if apart > skew {
		return failed("clock", fmt.Sprintf("ClickHouse's clock and this one are %s apart", apart), "run NTP on both machines")
	}
	return ok("clock", fmt.Sprintf("ClickHouse's clock and this one are %s apart", apart))
}

func granted(ctx context.Context, conn driver.Conn, database string, grants []string) []Finding {
	var missing []string
	for _, g := range grants {
		var has uint8
		statement := "CHECK GRANT " + strings.ReplaceAll(g, "DATABASE", "`"+strings.ReplaceAll(database, "`", "``")+"`")
		if err := conn.QueryRow(ctx, statement).Scan(&has); err != nil {
			return []Finding{skipped("clickhouse.grants", err.Error(), "ask an administrator for SHOW GRANTS of this user")}
		}
		if has == 0 {
			missing = append(missing, strings.ReplaceAll(g, "DATABASE", database))
		}
	}
	if len(missing) > 0 {
		return []Finding{failed("clickhouse.grants", "the user lacks "+strings.Join(missing, ", "), "grant it the role of its service: custody schema roles")}
	}
	return []Finding{ok("clickhouse.grants", fmt.Sprintf("the user has the %d that are needed", len(grants)))}
}

func migrated(ctx context.Context, o *clickhouse.Options) Finding {
	conn, err := clickhouse.Open(o)
	if err != nil {
		return failed("clickhouse.schema", err.Error(), "correct clickhouse.database")
	}
	defer conn.Close()
	status, err := table.Check(ctx, conn)
	var e *clickhouse.Exception
	if errors.As(err, &e) && e.Code == 81 {
		return failed("clickhouse.schema", fmt.Sprintf("there is no database %s", o.Auth.Database), "custody schema migrate, or correct clickhouse.database")
	}
	if err != nil {
		return failed("clickhouse.schema", err.Error(), "use the release of Custody that migrated it, or a newer one")
	}
	for _, s := range status {
		if s.Problem != "" {
			return failed("clickhouse.schema", s.Migration+" is "+s.Problem, "custody schema migrate, with this release and as a user who may create tables")
		}
	}
	return ok("clickhouse.schema", fmt.Sprintf("%d migrations are applied", len(status)))
}
