package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

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
	read := readEvent
	switch media {
	case mediaJSON, "text/json", mediaNDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines":
	case mediaCloud, mediaCloudBatch:
		read = readCloudEvent
	default:
		return nil, &collector.HTTPError{Status: http.StatusUnsupportedMediaType,
			Reason: fmt.Sprintf("Content-Type %.80q: want %s, %s, %s or %s", media, mediaJSON, mediaNDJSON, mediaCloud, mediaCloudBatch)}
	}
	records, err := collector.SplitRecords(body)
	if err != nil {
		return nil, err
	}
	return collector.ParseAll(read, records), nil
}

func readEvent(b []byte) ([]*event.Event, error) { return collector.One(event.Decode(b)) }

// readCloudEvent takes the event from a CloudEvent's data and fills from the
// envelope what the data leaves out.
func readCloudEvent(b []byte) ([]*event.Event, error) {
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
	return []*event.Event{e}, nil
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
