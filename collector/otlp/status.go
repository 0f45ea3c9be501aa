package otlp

import (
	"errors"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/custody-audit/custody/collector"
)

// refusal turns an error into what OTLP answers, for both transports. What is
// not the sender's fault is answered so that the sender tries again: an export
// that is given up is lost.
func refusal(err error) (*status.Status, int) {
	var he *collector.HTTPError
	switch {
	case errors.Is(err, collector.ErrQuota):
		return later(codes.ResourceExhausted, err.Error()), http.StatusTooManyRequests
	case errors.As(err, &he) && he.Status == http.StatusServiceUnavailable:
		return later(codes.Unavailable, he.Reason), he.Status
	case errors.As(err, &he):
		return status.New(code(he.Status), he.Reason), he.Status
	}
	return later(codes.Unavailable, collector.ErrUnavailable.Error()), http.StatusServiceUnavailable
}

// later asks the sender to try again. Without RetryInfo a client may not
// throttle, and must not try again after RESOURCE_EXHAUSTED.
func later(c codes.Code, reason string) *status.Status {
	s := status.New(c, reason)
	if detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(collector.RetryAfter * time.Second)}); err == nil { // cannot fail for a well-known type
		s = detailed
	}
	return s
}

func code(httpStatus int) codes.Code {
	switch httpStatus {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusRequestEntityTooLarge:
		return codes.ResourceExhausted
	default:
		return codes.InvalidArgument
	}
}
