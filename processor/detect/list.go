package detect

import (
	"context"
	"fmt"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Filter narrows a list of findings; what is empty does not. Of what people did
// about them it knows nothing: processor/worklist does.
type Filter struct {
	Tenant, Rule, Status string
	// AtLeast is the least severity.
	AtLeast Severity
	// Limit is the most findings; 0 is 100.
	Limit int
}

func (f *Filter) setDefaults() error {
	def(&f.AtLeast, Severities[0])
	def(&f.Limit, 100)
	if !slices.Contains(Severities, f.AtLeast) {
		return fmt.Errorf("severity %q: want one of %v", f.AtLeast, Severities)
	}
	if f.Status != "" && f.Status != Open && f.Status != AutoResolved {
		return fmt.Errorf("status %q: want %s or %s", f.Status, Open, AutoResolved)
	}
	if f.Limit < 1 || f.Limit > 10_000 {
		return fmt.Errorf("limit %d: want 1 to 10000", f.Limit)
	}
	return nil
}

// List returns findings, the severest and then the newest first, as the user of
// conn may see them.
func List(ctx context.Context, conn driver.Conn, f Filter) ([]*Finding, error) {
	if err := f.setDefaults(); err != nil {
		return nil, err
	}
	return query(ctx, conn, "SELECT "+findingColumns+` FROM findings
		WHERE ({tenant:String} = '' OR tenant = {tenant:String}) AND ({rule:String} = '' OR rule = {rule:String})
			AND ({status:String} = '' OR toString(status) = {status:String}) AND toInt8(severity) >= {least:Int8}
		ORDER BY severity DESC, last_seen DESC, key LIMIT {limit:UInt32}`,
		clickhouse.Parameters{
			"tenant": f.Tenant, "rule": f.Rule, "status": f.Status,
			"least": fmt.Sprint(1 + slices.Index(Severities, f.AtLeast)), "limit": fmt.Sprint(f.Limit),
		})
}
