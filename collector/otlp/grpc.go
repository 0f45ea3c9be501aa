package otlp

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // exporters may compress
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/custody-audit/custody/collector"
)

// RegisterGRPC adds LogsService and TraceService.
func (r *Receiver) RegisterGRPC(s *grpc.Server) {
	for _, sig := range []*signal{logs, traces} {
		desc := sig.service
		desc.Methods = []grpc.MethodDesc{{MethodName: "Export", Handler: r.handler(sig)}}
		s.RegisterService(&desc, nil)
	}
}

// ServerOptions are what the gRPC server needs: the bound of a message, which
// holds while it is decompressed, and authentication before a message is read.
func (r *Receiver) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(collector.MaxDecodedBody),
		grpc.InTapHandle(func(ctx context.Context, info *tap.Info) (context.Context, error) {
			for _, s := range []*signal{logs, traces} {
				if !strings.HasPrefix(info.FullMethodName, "/"+s.service.ServiceName+"/") {
					continue
				}
				if _, err := r.authenticate(ctx, info.Header); err != nil {
					return ctx, r.refuse(ctx, s, err)
				}
			}
			return ctx, nil
		}),
	}
}

// handler stands in for the generated one, which would unpack a request before
// anyone could count what it holds: a message without fields keeps the bytes.
func (r *Receiver) handler(s *signal) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		raw := new(emptypb.Empty)
		if err := decode(raw); err != nil {
			return nil, err
		}
		request := s.request()
		if err := binary.decode(raw.ProtoReflect().GetUnknown(), request); err != nil {
			return nil, r.refuse(ctx, s, r.unreadable(s, err))
		}
		export := func(ctx context.Context, request any) (any, error) { return r.call(ctx, s, request.(proto.Message)) }
		if intercept == nil {
			return export(ctx, request)
		}
		return intercept(ctx, request, &grpc.UnaryServerInfo{FullMethod: "/" + s.service.ServiceName + "/Export"}, export)
	}
}

// call authenticates again: the server may run without ServerOptions.
func (r *Receiver) call(ctx context.Context, s *signal, request proto.Message) (proto.Message, error) {
	header, _ := metadata.FromIncomingContext(ctx)
	src, err := r.authenticate(ctx, header)
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

// told is the decoder's error without the value that it quotes, which may be
// anything. It is answered to whoever sent it and kept nowhere, so the forms that
// every source is searched for are enough.
func (r *Receiver) told(err error) string {
	text, _, _ := strings.Cut(err.Error(), ": \"")
	clean, _ := r.cfg.Intake.Clean(&collector.Source{}, []byte(text))
	return string(clean)
}

// unreadable is the refusal of a body that cannot be decoded, or that holds too much.
func (r *Receiver) unreadable(s *signal, err error) error {
	if errors.Is(err, errTooMany) {
		return err
	}
	return &collector.HTTPError{Status: http.StatusBadRequest, Reason: "read " + s.name + ": " + r.told(err)}
}

// authenticate returns the source of a call.
func (r *Receiver) authenticate(ctx context.Context, header metadata.MD) (*collector.Source, error) {
	var c collector.Credentials
	if v := header.Get("authorization"); len(v) > 0 {
		c.Bearer = collector.Bearer(v[0])
	}
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			c.Certificates = info.State.PeerCertificates
		}
	}
	return r.cfg.Sources.Authenticate(ctx, c, Type)
}
