package native

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// MaxEvents bounds one request.
const MaxEvents = 10_000

// Media types that are understood.
const (
	mediaJSON       = "application/json"
	mediaNDJSON     = "application/x-ndjson"
	mediaCloud      = "application/cloudevents+json"
	mediaCloudBatch = "application/cloudevents-batch+json"
)

// Parse splits a body into its records and reads each. Only a body that cannot
// be split is an error, an [collector.HTTPError].
func Parse(contentType string, body []byte) ([]collector.Item, error) {
	media, _, err := mime.ParseMediaType(contentType)
	if contentType == "" {
		media, err = mediaJSON, nil
	}
	if err != nil {
		return nil, &collector.HTTPError{Status: http.StatusUnsupportedMediaType, Reason: "Content-Type: " + err.Error()}
	}
	split, read := splitJSON, readEvent
	switch media {
	case mediaJSON, "text/json":
	case mediaNDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines":
		split = splitLines
	case mediaCloud, mediaCloudBatch:
		read = readCloudEvent
	default:
		return nil, &collector.HTTPError{Status: http.StatusUnsupportedMediaType,
			Reason: fmt.Sprintf("Content-Type %.80q: want %s, %s, %s or %s", media, mediaJSON, mediaNDJSON, mediaCloud, mediaCloudBatch)}
	}
	records, err := split(body)
	if err != nil {
		return nil, err
	}
	if len(records) > MaxEvents {
		return nil, &collector.HTTPError{Status: http.StatusRequestEntityTooLarge, Reason: fmt.Sprintf("%d events, at most %d in one request", len(records), MaxEvents)}
	}
	items := make([]collector.Item, len(records))
	for i, r := range records {
		items[i] = collector.NewItem(read(r))
	}
	return items, nil
}

// splitJSON takes one object or an array. Many objects one after the other are
// lines under another name, and are taken as such.
func splitJSON(body []byte) ([][]byte, error) {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 {
		return nil, &collector.HTTPError{Status: http.StatusBadRequest, Reason: "the body is empty"}
	}
	if trimmed[0] != '[' {
		if json.Valid(trimmed) || !bytes.ContainsRune(trimmed, '\n') {
			return [][]byte{trimmed}, nil
		}
		return splitLines(trimmed)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(trimmed, &raw); err != nil {
		return nil, &collector.HTTPError{Status: http.StatusBadRequest, Reason: "the array is not JSON, so no event of it was taken: " + err.Error()}
	}
	records := make([][]byte, len(raw))
	for i, r := range raw {
		records[i] = r
	}
	return records, nil
}

func splitLines(body []byte) ([][]byte, error) {
	var records [][]byte
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			records = append(records, line)
		}
	}
	return records, nil
}

func readEvent(b []byte) (*event.Event, error) { return event.Decode(b) }

// readCloudEvent takes the event from a CloudEvent's data and fills from the
// envelope what the data leaves out.
func readCloudEvent(b []byte) (*event.Event, error) {
	if len(b) > 2*event.MaxBytes {
		return nil, event.ErrTooLarge
	}
	var ce cloudevents.Event
	if err := json.Unmarshal(b, &ce); err != nil {
		return nil, fmt.Errorf("not a CloudEvent: %w", err)
	}
	if err := ce.Validate(); err != nil {
		return nil, fmt.Errorf("not a CloudEvent: %w", err)
	}
	e, err := event.Decode(ce.Data())
	if err != nil {
		return nil, within("data", err)
	}
	if e.Source.EventID == "" && e.ID == "" {
		e.Source.EventID = ce.Source() + "#" + ce.ID() // together unique, by the specification
	}
	if e.Time == 0 {
		e.Time = event.TimeOf(ce.Time())
	}
	if e.Type == "" {
		e.Type = ce.Type()
	}
	return e, nil
}

func within(path string, err error) error {
	var problems event.Problems
	if !errors.As(err, &problems) {
		return err
	}
	out := make(event.Problems, len(problems))
	for i, p := range problems {
		out[i] = p
		if p.Field != "" {
			out[i].Field = path + "." + p.Field
		} else {
			out[i].Field = path
		}
	}
	return out
}
