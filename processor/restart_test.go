package processor_test

import (
	"testing"
	"time"
)

// Broker and ClickHouse are killed in turn, several times, while events come and
// are processed. Not in parallel: Apache Kafka is shared, and killed only when no
// other test holds it.
func TestServersKilled(t *testing.T) {
	p := newPipeline(t)
	s := newSender(p)
	stop := p.start()
	s.send(10)
	p.drain() // a processor that cannot begin ends, and something else starts it again: that is not what is shown here
	quiet := s.background(5 * time.Millisecond)
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		p.ClickHouse.Kill()
		time.Sleep(300 * time.Millisecond)
		p.Kafka.Kill()
	}
	quiet()
	p.drain()
	stop()
	p.verify(s.acknowledged)
	t.Logf("%d batches had to be sent again", s.repeated)
}
