package query

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Malformed is a record of the log that is no event. The dead-letter topic has it too,
// and "custody deadletter replay" puts back what can be read by now.
type Malformed struct {
	Topic     string    `json:"topic"`
	Epoch     string    `json:"epoch"`
	Partition uint32    `json:"partition"`
	Offset    uint64    `json:"offset"`
	LogTime   time.Time `json:"log_time"` // when the log took it
	Stored    time.Time `json:"stored_time"`
	Problem   string    `json:"problem"`
	Size      uint64    `json:"size"` // bytes
	LeafHash  string    `json:"leaf_hash"`
	Sample    string    `json:"sample"` // its first bytes, as far as they are text
}

// maxSample bounds what is shown of a record that is no event, in bytes.
const maxSample = 1000

// ErrNobodys refuses records without a tenant to a reader of one.
var ErrNobodys = errors.New("records that are no events: want a reader of all tenants, for nobody vouches for whose they are")

// Malformed lists the records stored since a time that are no events, the newest first,
// up to limit.
func (r *Reader) Malformed(ctx context.Context, since time.Time, limit int) ([]*Malformed, error) {
	if r.cfg.Tenant != "" {
		return nil, ErrNobodys
	}
	if limit < 1 || limit > MaxPage {
		return nil, fmt.Errorf("limit %d: want 1 to %d", limit, MaxPage)
	}
	out := []*Malformed{}
	// They have neither tenant nor time, and the order of the table finds them by that.
	err := r.rows(ctx, `SELECT topic, epoch, partition, offset, log_time, stored_time, problem, length(raw), lower(hex(leaf_hash)), substring(raw, 1, {sample:UInt32}) FROM records
		WHERE tenant = '' AND toStartOfHour(time) = toDateTime(0, 'UTC') AND state = 'malformed' AND stored_time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
		ORDER BY stored_time DESC, partition, offset DESC LIMIT {limit:UInt32}`,
		parameters{"since": fmt.Sprint(max(since.UnixMicro(), 0)), "limit": fmt.Sprint(limit), "sample": fmt.Sprint(maxSample)}, func(rows driver.Rows) error {
			m := &Malformed{}
			err := rows.Scan(&m.Topic, &m.Epoch, &m.Partition, &m.Offset, &m.LogTime, &m.Stored, &m.Problem, &m.Size, &m.LeafHash, &m.Sample)
			m.Sample = strings.ToValidUTF8(m.Sample, "\uFFFD")
			out = append(out, m)
			return err
		})
	return out, err
}
