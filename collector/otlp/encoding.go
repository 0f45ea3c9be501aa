package otlp

import (
	"fmt"
	"mime"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/custody-audit/custody/collector"
)

// encoding is one of the two forms of a body; the answer has that of the request.
type encoding struct {
	media  string
	decode func([]byte, proto.Message) error
	encode func(proto.Message) ([]byte, error)
}

var binary = &encoding{
	media:  "application/x-protobuf",
	decode: unmarshal,
	encode: proto.Marshal,
}

// text is protojson with the deviations of OTLP: trace and span ids are hex,
// enums are numbers, unknown fields are ignored.
var text = &encoding{
	media:  "application/json",
	decode: unmarshalJSON,
	encode: protojson.MarshalOptions{UseEnumNumbers: true}.Marshal,
}

var lenient = protojson.UnmarshalOptions{DiscardUnknown: true}

// encodingOf returns the encoding by Content-Type, and with an error the one to report it in.
func encodingOf(contentType string) (*encoding, error) {
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && media == binary.media:
		return binary, nil
	case err == nil && media == text.media:
		return text, nil
	}
	return text, &collector.HTTPError{
		Status: http.StatusUnsupportedMediaType,
		Reason: fmt.Sprintf("Content-Type %.80q: want %s or %s", contentType, binary.media, text.media),
	}
}
