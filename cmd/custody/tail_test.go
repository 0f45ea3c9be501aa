package main

import (
	"strings"
	"testing"
)

func TestTailSaysWhatItWants(t *testing.T) {
	t.Setenv(keyVariable, "")
	for _, c := range []struct {
		args string
		want string
	}{
		{"tail --type opa", "requires at least 1 arg"},
		{"tail a.log", `required flag(s) "type" not set`},
		{"tail --type otlp a.log", "want a type whose records are lines"},
		{"tail --type nonsense a.log", "want a type whose records are lines"},
		{"tail --type opa a.log", "want the source's key"},
	} {
		if _, err := try(t, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("custody %s: %v, want %s", c.args, err, c.want)
		}
	}
}
