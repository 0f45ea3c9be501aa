package table

import "time"

// Micro writes a time as ClickHouse parses DateTime64(6) in UTC.
func Micro(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000") }
