package rpc_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// serve starts a host with fake workers and gives a plain gRPC client of its API,
// as any language would have; stop ends the API and says how that went.
func serve(t *testing.T, tools ...hosttest.Tool) (api snakepitv1.HostClient, stop func() error) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	engine, err := host.New(host.Config{
		Launcher: &hosttest.Launcher{Tools: tools}, ShutdownTimeout: -1,
		Pools: []host.PoolConfig{{Name: "main", Size: 1, Command: host.Command{Path: "fake"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := bufconn.Listen(1 << 20)
	engineCtx, endEngine := context.WithCancel(t.Context())
	apiCtx, endAPI := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = engine.Run(engineCtx) })
	served := make(chan error, 1)
	all.Go(func() { served <- rpc.NewServer(engine, rpc.Config{}).Serve(apiCtx, l) })
	conn, err := grpc.NewClient("passthrough:", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endAPI(); endEngine(); all.Wait(); _ = conn.Close() })
	if err := engine.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return snakepitv1.NewHostClient(conn), func() error { endAPI(); return <-served }
}

func tool(name string, run func(ctx context.Context, call *hosttest.Call) ([]byte, error)) hosttest.Tool {
	return hosttest.Tool{Tool: host.Tool{Name: name, InputStream: "chunks"}, Run: run}
}

func echo() hosttest.Tool {
	return tool("echo", func(_ context.Context, call *hosttest.Call) ([]byte, error) { return call.Payload, nil })
}

func call(tool, contentType, payload string) *snakepitv1.HostCallRequest {
	return &snakepitv1.HostCallRequest{
		Invocation: &snakepitv1.Invocation{Tool: tool, ContentType: contentType}, Payload: []byte(payload),
	}
}

func TestJSONCallersGetJSON(t *testing.T) {
	api, _ := serve(t, echo())
	got, err := api.Call(t.Context(), call("echo", "application/json", `{"z": 1, "a": [2.5, null]}`))
	if err != nil || string(got.GetPayload()) != `{"z":1,"a":[2.5,null]}` {
		t.Errorf("%s, %v", got.GetPayload(), err)
	}
	if got.GetCallId() == "" || got.GetWorker() == "" {
		t.Errorf("%v", got)
	}
}

func TestErrorsAreStatusesWithDetails(t *testing.T) {
	api, _ := serve(t, echo(), tool("garbage", func(context.Context, *hosttest.Call) ([]byte, error) {
		return []byte{0xc1}, nil // no value
	}))
	for name, c := range map[string]struct {
		req    *snakepitv1.HostCallRequest
		code   codes.Code
		reason errdefs.Reason
		text   string
	}{
		"no such tool":     {call("ecko", "", "\x80"), codes.NotFound, errdefs.ToolNotFound, "ecko"},
		"no name":          {call("", "", "\x80"), codes.InvalidArgument, errdefs.InvalidToolName, ""},
		"a long name":      {call(strings.Repeat("x", 10_000), "", "\x80"), codes.InvalidArgument, errdefs.InvalidToolName, "10000 bytes"},
		"no invocation":    {&snakepitv1.HostCallRequest{}, codes.InvalidArgument, errdefs.InvalidToolName, ""},
		"bad JSON":         {call("echo", "application/json", `{"a": [1, }`), codes.InvalidArgument, errdefs.InvalidArguments, "$.a[1]"},
		"bad content type": {call("echo", "text/html", ""), codes.InvalidArgument, errdefs.InvalidArguments, "text/html"},
		"bad result":       {call("garbage", "application/json", "{}"), codes.InvalidArgument, errdefs.InvalidResult, "begins no value"},
	} {
		_, err := api.Call(t.Context(), c.req)
		got := errdefs.FromStatus(err)
		if status.Code(err) != c.code || errdefs.ReasonOf(got) != c.reason || !strings.Contains(got.Error(), c.text) || len(err.Error()) > 2000 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStreamMustBeginWithOpen(t *testing.T) {
	api, _ := serve(t, echo())
	s, err := api.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&snakepitv1.HostStreamRequest{Kind: &snakepitv1.HostStreamRequest_Chunk{Chunk: []byte{1}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); errdefs.ReasonOf(errdefs.FromStatus(err)) != errdefs.Protocol {
		t.Errorf("%v", err)
	}
}

func TestMalformedChunkEndsTheCallWithItsReason(t *testing.T) {
	api, _ := serve(t, tool("drain", func(ctx context.Context, call *hosttest.Call) ([]byte, error) {
		_, err := call.Next(ctx)
		return nil, err
	}))
	s, err := api.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open := &snakepitv1.HostStreamOpen{Invocation: call("drain", "application/json", "").GetInvocation(), Payload: []byte("{}"), Input: true}
	for _, m := range []*snakepitv1.HostStreamRequest{
		{Kind: &snakepitv1.HostStreamRequest_Open{Open: open}}, {Kind: &snakepitv1.HostStreamRequest_Chunk{Chunk: []byte("nope")}},
	} {
		if err := s.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Recv(); errdefs.ReasonOf(errdefs.FromStatus(err)) != errdefs.InvalidArguments {
		t.Errorf("%v", err)
	}
}

func TestMessageAboveTheLimitIsPayloadTooLarge(t *testing.T) {
	api, _ := serve(t, echo())
	big := call("echo", "", "\xc5\x40\x00"+strings.Repeat("x", 1<<14))
	for _, limit := range []grpc.CallOption{grpc.MaxCallSendMsgSize(1000), grpc.MaxCallRecvMsgSize(1000)} {
		_, err := api.Call(t.Context(), big, limit)
		if got := errdefs.FromStatus(err); errdefs.ReasonOf(got) != errdefs.PayloadTooLarge || !strings.Contains(got.Error(), "1000") {
			t.Errorf("%v", got)
		}
	}
}

func TestStoppingEndsServingClientsAtOnce(t *testing.T) {
	api, stop := serve(t, echo())
	s, err := api.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	offer := &snakepitv1.HostTool{Tool: &snakepitv1.Tool{Name: "mine"}}
	if err := s.Send(&snakepitv1.ServeRequest{Kind: &snakepitv1.ServeRequest_Offer{Offer: offer}}); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Recv(); err != nil || r.GetOffered() != "mine" {
		t.Fatalf("%v, %v", r, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := s.Recv(); errdefs.ReasonOf(errdefs.FromStatus(err)) != errdefs.Draining {
		t.Errorf("%v", err)
	}
}

func TestStoppingCutsCallsThatDoNotEnd(t *testing.T) {
	started := make(chan struct{})
	api, stop := serve(t, tool("stuck", func(ctx context.Context, _ *hosttest.Call) ([]byte, error) {
		close(started)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}))
	outcome := make(chan error, 1)
	var caller sync.WaitGroup
	caller.Go(func() {
		_, err := api.Call(t.Context(), call("stuck", "", "\x80"))
		outcome <- err
	})
	<-started
	if err := stop(); err != nil {
		t.Error(err)
	}
	if <-outcome == nil {
		t.Error("the call succeeded")
	}
	caller.Wait()
}

func TestTooManyOffersAreRefused(t *testing.T) {
	api, _ := serve(t, echo())
	s, err := api.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range 1001 {
		name := "t" + strings.Repeat("x", i%50) + string(rune('a'+i/50))
		offer := &snakepitv1.HostTool{Tool: &snakepitv1.Tool{Name: name}}
		if err := s.Send(&snakepitv1.ServeRequest{Kind: &snakepitv1.ServeRequest_Offer{Offer: offer}}); err != nil {
			t.Fatal(err)
		}
		r, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if e := r.GetRefused().GetError(); e != nil && e.GetReason() == string(errdefs.RateLimited) {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d refused", refused)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for { // the stream's end takes the tools back
		if _, err := s.Recv(); err != nil {
			break
		}
	}
	list, err := api.ListTools(t.Context(), &snakepitv1.ListToolsRequest{})
	if err != nil || len(list.GetTools()) != 1 {
		t.Errorf("%d tools, %v", len(list.GetTools()), err)
	}
}

func TestWhoConnectsWhileAServerStopsIsServedOrLeftForTheNext(t *testing.T) {
	dir, err := os.MkdirTemp("", "sp-rpc-") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	first, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "api.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	first.SetUnlinkOnClose(false)
	f, err := first.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	engine, err := host.New(host.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var listener net.Listener = first
	for round := range 50 { // servers on one socket, one after the other, and a client that comes anew each time
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- rpc.NewServer(engine, rpc.Config{}).Serve(ctx, listener) }()
		asked := make(chan error, 1)
		go func() { asked <- askStatus(t.Context(), first.Addr().String()) }()
		if round%2 == 0 {
			runtime.Gosched()
		}
		cancel()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		if listener, err = net.FileListener(f); err != nil {
			t.Fatal(err)
		}
		last, end := context.WithCancel(t.Context())
		go func() { served <- rpc.NewServer(engine, rpc.Config{}).Serve(last, listener) }()
		if err := <-asked; err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		end()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		if listener, err = net.FileListener(f); err != nil {
			t.Fatal(err)
		}
	}
	_ = listener.Close()
}

func askStatus(ctx context.Context, socket string) error {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	_, err = snakepitv1.NewHostClient(conn).Status(ctx, &snakepitv1.StatusRequest{})
	return errors.Join(err, conn.Close())
}
