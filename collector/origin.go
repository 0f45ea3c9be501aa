package collector

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// HeaderOrigin says where the lines of a body come from: FILE:OFFSET, the
// sender's own name of a file, and the place of the body's first byte in it. An
// event whose record has no id of its own gets one from its place, so that a line
// that is sent again is recognised.
const HeaderOrigin = "Custody-Origin"

var originPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}:[0-9]{1,18}$`)

// TakeLines is [TakeRecords] for records that are parts of a body with an origin.
func TakeLines(ctx context.Context, intake Intake, src *Source, sourceType string, parse Parse, origin string, body []byte, records [][]byte) (*Result, error) {
	if !originPattern.MatchString(origin) {
		return nil, &HTTPError{http.StatusBadRequest, HeaderOrigin + ": want FILE:OFFSET, of letters, digits, - and _, and a number"}
	}
	file, text, _ := strings.Cut(origin, ":")
	offset, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, &HTTPError{http.StatusBadRequest, HeaderOrigin + ": " + err.Error()}
	}
	items, at := parseRecords(intake, src, parse, records), 0
	for i, record := range records {
		at += bytes.Index(body[at:], record)
		for n, e := range items[i].Events {
			if e.Source.EventID == "" {
				e.Source.EventID = fmt.Sprintf("%s:%d/%d", file, offset+int64(at), n)
			}
		}
		at += len(record)
	}
	return AcceptBatch(ctx, intake, src, sourceType, items)
}
