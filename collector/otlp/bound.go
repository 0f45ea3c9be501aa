package otlp

import (
	"bytes"
	"fmt"
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/custody-audit/custody/collector"
)

// maxMessages bounds the protobuf messages (records, attributes, values) in one
// request. Empty ones take two bytes on the wire and a hundred times that in
// memory: 16 KiB of gzip would be 2 GB. A body within its own bound that says
// anything stays below.
const maxMessages = 1 << 20

const maxDepth = 10_000 // where proto.Unmarshal gives up

var errTooMany = &collector.HTTPError{
	Status: http.StatusRequestEntityTooLarge,
	Reason: fmt.Sprintf("more than %d records, attributes and values in one request: send smaller batches", maxMessages),
}

// unmarshal reads a request after counting what it holds.
func unmarshal(b []byte, m proto.Message) error {
	left := maxMessages
	if count(b, m.ProtoReflect().Descriptor(), maxDepth, &left); left < 0 {
		return errTooMany
	}
	return proto.Unmarshal(b, m)
}

// count takes from left one for each message inside the wire form of a d. It
// stops at what is no wire form, for proto.Unmarshal to report.
func count(b []byte, d protoreflect.MessageDescriptor, depth int, left *int) {
	for len(b) > 0 && *left >= 0 && depth > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
			return
		}
		if f := d.Fields().ByNumber(number); f != nil && f.Message() != nil && wire == protowire.BytesType {
			*left--
			inside, _ := protowire.ConsumeBytes(b)
			count(inside, f.Message(), depth-1, left)
		}
		b = b[n:]
	}
}

// unmarshalJSON does the same for OTLP/JSON, where each message has its brace.
func unmarshalJSON(b []byte, m proto.Message) error {
	if bytes.Count(b, []byte("{")) > maxMessages {
		return errTooMany
	}
	return lenient.Unmarshal(idsToBase64(b), m)
}
