package otlp

import (
	"context"
	"strings"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // exporters may compress
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/custody-audit/custody/collector"
)

// servicePrefix begins the full names of the methods served here.
const servicePrefix = "/opentelemetry.proto.collector."

// RegisterGRPC adds LogsService and TraceService.
func (r *Receiver) RegisterGRPC(s *grpc.Server) {
	collogs.RegisterLogsServiceServer(s, &logsServer{receiver: r})
	coltrace.RegisterTraceServiceServer(s, &traceServer{receiver: r})
}

// ServerOptions are what the gRPC server needs: the bound of a message, which
// holds while it is decompressed, and authentication before a message is read.
func (r *Receiver) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(collector.MaxDecodedBody),
		grpc.InTapHandle(func(ctx context.Context, info *tap.Info) (context.Context, error) {
			if !strings.HasPrefix(info.FullMethodName, servicePrefix) {
				return ctx, nil
			}
			if _, err := r.authenticate(authorization(info.Header)); err != nil {
				return ctx, r.refuse(ctx, signalOf(info.FullMethodName), err)
			}
			return ctx, nil
		}),
	}
}

type logsServer struct {
	collogs.UnimplementedLogsServiceServer
	receiver *Receiver
}

func (s *logsServer) Export(ctx context.Context, request *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	answer, err := s.receiver.call(ctx, logs, request)
	if err != nil {
		return nil, err
	}
	return answer.(*collogs.ExportLogsServiceResponse), nil
}

type traceServer struct {
	coltrace.UnimplementedTraceServiceServer
	receiver *Receiver
}

func (s *traceServer) Export(ctx context.Context, request *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	answer, err := s.receiver.call(ctx, traces, request)
	if err != nil {
		return nil, err
	}
	return answer.(*coltrace.ExportTraceServiceResponse), nil
}

// call authenticates again: the server may run without ServerOptions.
func (r *Receiver) call(ctx context.Context, s *signal, request proto.Message) (proto.Message, error) {
	header, _ := metadata.FromIncomingContext(ctx)
	src, err := r.authenticate(authorization(header))
	if err != nil {
		return nil, r.refuse(ctx, s, err)
	}
	answer, err := r.take(ctx, src, s, request)
	if err != nil {
		return nil, r.refuse(ctx, s, err)
	}
	return answer, nil
}

func (r *Receiver) refuse(ctx context.Context, s *signal, err error) error {
	st, _ := refusal(err)
	r.tel.refused.Add(context.WithoutCancel(ctx), 1, r.tel.status(s, st.Code().String()))
	return st.Err()
}

func authorization(header metadata.MD) string {
	if v := header.Get("authorization"); len(v) > 0 {
		return v[0]
	}
	return ""
}

func signalOf(method string) *signal {
	if strings.HasPrefix(method, servicePrefix+"logs.") {
		return logs
	}
	return traces
}
