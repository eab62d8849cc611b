package rpc

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestPanicIsLoggedAndBecomesAnErrorWithoutItsText(t *testing.T) {
	var log bytes.Buffer
	s := NewServer(nil, Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	fail := func() error { panic("secret") } //nolint:forbidigo // it is what the test is about
	_, err := s.api.unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/x"}, func(context.Context, any) (any, error) { return nil, fail() })
	streamErr := s.api.stream(nil, nil, &grpc.StreamServerInfo{FullMethod: "/y"}, func(any, grpc.ServerStream) error { return fail() })
	for _, err := range []error{err, streamErr} {
		if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
	if got := log.String(); strings.Count(got, "secret") < 2 || !strings.Contains(got, "/x") || !strings.Contains(got, "/y") {
		t.Errorf("log: %s", got)
	}
}
