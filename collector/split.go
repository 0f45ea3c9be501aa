package collector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// MaxRecords bounds one request.
const MaxRecords = 10_000

// SplitRecords splits the body of a request, at most MaxRecords. Its errors are [HTTPError].
func SplitRecords(body []byte) ([][]byte, error) {
	records, err := Split(body)
	if err != nil {
		return nil, &HTTPError{http.StatusBadRequest, err.Error()}
	}
	if len(records) > MaxRecords {
		return nil, &HTTPError{http.StatusRequestEntityTooLarge, fmt.Sprintf("%d records, at most %d in one request", len(records), MaxRecords)}
	}
	return records, nil
}

// Split splits text into records: one JSON object, an array of them, or one on
// each line. The records are parts of body.
func Split(body []byte) ([][]byte, error) {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 {
		return nil, errors.New("the body is empty")
	}
	var records [][]byte
	if trimmed[0] == '[' {
		var raw []json.RawMessage
		if err := json.Unmarshal(trimmed, &raw); err != nil {
			return nil, fmt.Errorf("the array is not JSON, so no record of it was taken: %w", err)
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
	return records, nil
}
