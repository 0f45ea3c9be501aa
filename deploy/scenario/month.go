package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// month says what is stored in a folder, so that it can be judged again.
type month struct {
	Seed       uint64    `json:"seed"`
	Identities int       `json:"identities"`
	Asked      int       `json:"asked"` // events
	Days       int       `json:"days"`
	Incidents  int       `json:"incidents"`
	Late       float64   `json:"late"`
	Raw        bool      `json:"raw"`
	End        time.Time `json:"end"`
	Events     int       `json:"events"`
	Delayed    int       `json:"delayed"`
	Copies     int       `json:"copies"`
}

func (r *run) monthFile() string { return filepath.Join(r.Dir, "month.json") }

// save notes that all of the month is stored.
func (r *run) save() error {
	text, err := json.Marshal(month{r.Seed, r.Identities, r.Events, r.Days, r.Incidents, r.Late, r.Raw, r.end, r.events, r.delayed, r.copies})
	if err != nil {
		return err
	}
	return os.WriteFile(r.monthFile(), text, 0o600)
}

// kept reads what an earlier run stored; without one there is nothing.
func (r *run) kept() (m month, ok bool, err error) {
	text, err := os.ReadFile(r.monthFile())
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, false, fmt.Errorf("%s: %w", r.monthFile(), err)
	}
	if want := (month{r.Seed, r.Identities, r.Events, r.Days, r.Incidents, r.Late, r.Raw, m.End, m.Events, m.Delayed, m.Copies}); m != want {
		return m, false, fmt.Errorf("%s holds another month, of seed %d with %d identities, %d events, %d days, %d incidents, %g late and raw %t: ask for the same, or for a new one without --again", r.Dir, m.Seed, m.Identities, m.Asked, m.Days, m.Incidents, m.Late, m.Raw)
	}
	return m, true, nil
}

// forget removes what rules found and how far they came. What passes took in stays.
func (r *run) forget(ctx context.Context) error {
	for _, table := range []string{"finding_states", "finding_history", "rule_progress"} {
		if err := r.meter.admin.Exec(ctx, "TRUNCATE TABLE "+table); err != nil {
			return fmt.Errorf("forget what was found: %w", err)
		}
	}
	return nil
}
