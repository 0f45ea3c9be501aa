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
	if errors.As(err, &he) {
		return status.New(code(he.Status), he.Reason), he.Status
	}
	s := status.New(codes.Unavailable, collector.ErrUnavailable.Error())
	// Without RetryInfo a client may not throttle; it cannot fail for a well-known type.
	if detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(collector.RetryAfter * time.Second)}); err == nil {
		s = detailed
	}
	return s, http.StatusServiceUnavailable
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
