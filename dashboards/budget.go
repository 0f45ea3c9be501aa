package dashboards

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

// BudgetEvents is of how many stored events the budgets are.
const BudgetEvents = 10_000_000

//go:embed budget.txt
var budgetText string

// Budget is how many rows ClickHouse may read for a query when [BudgetEvents] events lie
// over 30 days.
type Budget struct {
	Rows  uint64
	Fixed bool // as many of fewer events
}

// slack is what a query may read on top in a small store, where a granule of some
// thousand rows in each of a month's partitions is more than the rows that it wants.
const slack = 60_000

// Of returns how many rows of so many events may be read; none without a budget.
func (b Budget) Of(events int) uint64 {
	switch rows := b.Rows * uint64(events) / BudgetEvents; {
	case b.Fixed || b.Rows == 0:
		return max(rows, b.Rows)
	case events < BudgetEvents:
		return rows + slack
	default:
		return rows
	}
}

// Budgets are those of the queries by dashboard and query, "overview/glance", and where
// a start is typed in "delegation/hops?token". "custody bench dashboards" holds them.
func Budgets() (map[string]Budget, error) {
	budgets := map[string]Budget{}
	for line := range strings.Lines(budgetText) {
		words := strings.Fields(line)
		if len(words) > 0 && words[0] == "#" {
			continue
		}
		if len(words) == 2 || len(words) == 3 && words[2] == "fixed" {
			rows, err := strconv.ParseUint(words[1], 10, 64)
			if _, twice := budgets[words[0]]; err == nil && rows > 0 && !twice {
				budgets[words[0]] = Budget{rows, len(words) == 3}
				continue
			}
		}
		return nil, fmt.Errorf("budget.txt: %q: want a query's name, once, and a number of rows", line)
	}
	return budgets, nil
}
