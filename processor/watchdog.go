package processor

import (
	"fmt"
	"time"
)

// stallTime is how long Kafka may say that there are records and give none.
const stallTime = 30 * time.Second

// watchdog notices a client that no longer gets what the log has: kafka-go can
// stay like that after a broker's restart. The worker then begins again with
// new connections. It is used by one goroutine.
type watchdog struct{ hungry time.Time }

func (d *watchdog) fed() { d.hungry = time.Time{} }

// idle is called after a fetch without records.
func (d *watchdog) idle(offset, high int64) error {
	switch {
	case high <= offset:
		d.hungry = time.Time{}
	case d.hungry.IsZero():
		d.hungry = time.Now()
	case time.Since(d.hungry) > stallTime:
		return fmt.Errorf("kafka's log goes on to %d, but for %s it gave nothing from offset %d", high, stallTime, offset)
	}
	return nil
}
