package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Cost is what something took: by the clock, and of ClickHouse's processor, which a
// busy machine changes less.
type Cost struct {
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

func (c *Cost) add(o Cost) { c.Seconds, c.CPUSeconds = c.Seconds+o.Seconds, c.CPUSeconds+o.CPUSeconds }

// meter measures laps.
type meter struct {
	admin driver.Conn
	at    time.Time
	cpu   float64
	told  time.Time // when progress was said last
}

// lap is what was spent since the last one.
func (m *meter) lap(ctx context.Context) (Cost, error) {
	var us uint64
	err := m.admin.QueryRow(ctx, "SELECT sum(value) FROM system.events WHERE event IN ('UserTimeMicroseconds', 'SystemTimeMicroseconds')").Scan(&us)
	if err != nil {
		return Cost{}, fmt.Errorf("ask what was spent: %w", err)
	}
	now, cpu := time.Now(), float64(us)/1e6
	c := Cost{now.Sub(m.at).Seconds(), cpu - m.cpu}
	m.at, m.cpu = now, cpu
	return c, nil
}

func (m *meter) close() error {
	if m == nil {
		return nil
	}
	return m.admin.Close()
}

// reached says how far a pass or a rule has come, now and then.
func (r *run) reached(what string, at time.Time) {
	if time.Since(r.meter.told) < 10*time.Second {
		return
	}
	r.meter.told = time.Now()
	share := max(0, at.Sub(r.begin()).Seconds()/r.end.Sub(r.begin()).Seconds())
	r.say("%s: stored until %s, %.0f %%", what, at.UTC().Format(time.DateTime), 100*share)
}
