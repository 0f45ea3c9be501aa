package otlp

import (
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// signal is what logs and traces do differently.
type signal struct {
	name     string
	path     string // of the HTTP endpoint
	service  grpc.ServiceDesc
	request  func() proto.Message
	parse    func(proto.Message) *Batch
	response func(rejected int64, message string) proto.Message
}

var logs = &signal{
	name:    "logs",
	path:    "/v1/logs",
	service: collogs.LogsService_ServiceDesc,
	request: func() proto.Message { return new(collogs.ExportLogsServiceRequest) },
	parse:   func(m proto.Message) *Batch { return ParseLogs(m.(*collogs.ExportLogsServiceRequest)) },
	response: func(rejected int64, message string) proto.Message {
		r := new(collogs.ExportLogsServiceResponse)
		if rejected > 0 {
			r.PartialSuccess = &collogs.ExportLogsPartialSuccess{RejectedLogRecords: rejected, ErrorMessage: message}
		}
		return r
	},
}

var traces = &signal{
	name:    "traces",
	path:    "/v1/traces",
	service: coltrace.TraceService_ServiceDesc,
	request: func() proto.Message { return new(coltrace.ExportTraceServiceRequest) },
	parse:   func(m proto.Message) *Batch { return ParseTraces(m.(*coltrace.ExportTraceServiceRequest)) },
	response: func(rejected int64, message string) proto.Message {
		r := new(coltrace.ExportTraceServiceResponse)
		if rejected > 0 {
			r.PartialSuccess = &coltrace.ExportTracePartialSuccess{RejectedSpans: rejected, ErrorMessage: message}
		}
		return r
	},
}
