package collector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// MaxRecords bounds one request.
const MaxRecords = 10_000

// SplitRecords splits a body into its records: one JSON object, an array of
// them, or one on each line, whatever the Content-Type calls it. The records are
// parts of body. Its errors are [HTTPError].
func SplitRecords(body []byte) ([][]byte, error) {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 {
		return nil, &HTTPError{http.StatusBadRequest, "the body is empty"}
	}
	var records [][]byte
	if trimmed[0] == '[' {
		var raw []json.RawMessage
		if err := json.Unmarshal(trimmed, &raw); err != nil {
			return nil, &HTTPError{http.StatusBadRequest, "the array is not JSON, so no record of it was taken: " + err.Error()}
		}
		for _, r := range raw {
			records = append(records, r)
		}
	} else if json.Valid(trimmed) { // perhaps over several lines
		records = [][]byte{trimmed}
	} else {
		for line := range bytes.Lines(trimmed) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				records = append(records, line)
			}
		}
	}
	if len(records) > MaxRecords {
		return nil, &HTTPError{http.StatusRequestEntityTooLarge, fmt.Sprintf("%d records, at most %d in one request", len(records), MaxRecords)}
	}
	return records, nil
}
