package verdict

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// What meets a limit is judged in halves, each call once; another error, and a
// limit that one call meets, end it.
func TestInHalves(t *testing.T) {
	tooMuch, other := fmt.Errorf("judge: %w", &clickhouse.Exception{Code: 241}), errors.New("connection refused")
	for _, x := range []struct {
		calls, most int
		err         error
		want        int
		fails       error
	}{
		{10, 10, tooMuch, 10, nil}, {11, 3, tooMuch, 11, nil}, {1000, 1, tooMuch, 1000, nil}, {2, 0, tooMuch, 0, tooMuch}, {8, 4, other, 0, other},
	} {
		judged := 0
		err := inHalves(make([]call, x.calls), func(part []call) error {
			if len(part) > x.most {
				return x.err
			}
			judged += len(part)
			return nil
		})
		if judged != x.want || err != x.fails {
			t.Errorf("%d calls, at most %d at once: %d judged, %v", x.calls, x.most, judged, err)
		}
	}
}
