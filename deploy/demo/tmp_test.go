package demo_test

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/demo"
)

func TestTmp(t *testing.T) {
	for range 25 {
		in := newIntake(t)
		estate, err := demo.New(demo.Config{CollectorURL: in.URL, Keys: demo.Keys(in.sources), Seed: 7, Duration: 300 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelInfo}))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := estate.Run(t.Context()); err != nil {
			t.Error(err)
		}
		in.Close()
	}
}
