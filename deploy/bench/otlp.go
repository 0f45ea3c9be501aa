package bench

import (
	"encoding/hex"
	"reflect"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/topic"
)

// otlpMapping makes OTLP log records of events for the OpenTelemetry Collector.
// The body is the event's JSON, as Custody keeps it in raw. With attributes each
// field is an attribute too, without which the Collector's table answers a
// question about one only by searching the text of every body.
type otlpMapping struct {
	attributes bool
	perMessage int // log records in a Kafka message
}

func (m otlpMapping) messages(events []*event.Event) []kafka.Message {
	var out []kafka.Message
	for group := range slices.Chunk(events, m.perMessage) {
		data, sources := &logs.LogsData{}, map[string]*logs.ScopeLogs{}
		for _, e := range group {
			if sources[e.Source.ID] == nil {
				sources[e.Source.ID] = &logs.ScopeLogs{}
				data.ResourceLogs = append(data.ResourceLogs, resourceLogs(e, sources[e.Source.ID]))
			}
			s := sources[e.Source.ID]
			s.LogRecords = append(s.LogRecords, m.record(e))
		}
		b, err := proto.Marshal(data)
		if err != nil {
			panic(err) // the events are ours
		}
		out = append(out, kafka.Message{Key: topic.Key(group[0]), Value: b})
	}
	return out
}

func (m otlpMapping) record(e *event.Event) *logs.LogRecord {
	trace, _ := hex.DecodeString(e.Correlation.TraceID)
	span, _ := hex.DecodeString(e.Correlation.SpanID)
	r := &logs.LogRecord{
		TimeUnixNano: uint64(e.Time) * 1000, ObservedTimeUnixNano: uint64(e.ObservedTime) * 1000,
		SeverityNumber: logs.SeverityNumber_SEVERITY_NUMBER_INFO, SeverityText: "INFO", EventName: e.Type,
		TraceId: trace, SpanId: span, Body: text(string(e.Canonical())),
	}
	if m.attributes {
		r.Attributes = flatten(nil, "", reflect.ValueOf(e).Elem())
	}
	return r
}

// resourceLogs is where a source's records are.
func resourceLogs(e *event.Event, of *logs.ScopeLogs) *logs.ResourceLogs {
	attributes := []*common.KeyValue{{Key: "service.name", Value: text(e.Source.ID)}, {Key: "tenant", Value: text(e.Tenant)}}
	return &logs.ResourceLogs{Resource: &resource.Resource{Attributes: attributes}, ScopeLogs: []*logs.ScopeLogs{of}}
}

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

// flatten makes an attribute of each field that is set, under its path.
func flatten(dst []*common.KeyValue, prefix string, v reflect.Value) []*common.KeyValue {
	for i := range v.NumField() {
		f := v.Field(i)
		if f.IsZero() {
			continue
		}
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		name = prefix + name
		if f.Kind() == reflect.Struct {
			dst = flatten(dst, name+".", f)
			continue
		}
		dst = append(dst, &common.KeyValue{Key: name, Value: anyValue(f)})
	}
	return dst
}

func anyValue(v reflect.Value) *common.AnyValue {
	switch v.Kind() {
	case reflect.String:
		return text(v.String())
	case reflect.Int64:
		if t, ok := v.Interface().(event.Time); ok {
			return text(t.String())
		}
		return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: v.Int()}}
	case reflect.Bool:
		return &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: v.Bool()}}
	case reflect.Slice:
		list := &common.ArrayValue{}
		for i := range v.Len() {
			list.Values = append(list.Values, anyValue(v.Index(i)))
		}
		return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: list}}
	case reflect.Map:
		list := &common.KeyValueList{}
		for it := v.MapRange(); it.Next(); {
			list.Values = append(list.Values, &common.KeyValue{Key: it.Key().String(), Value: anyValue(it.Value())})
		}
		return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: list}}
	default: // a struct of a list
		return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: flatten(nil, "", v)}}}
	}
}
