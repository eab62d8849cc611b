package lanetest_test

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/plugin/lane/lanetest"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

var token = []byte("a token for tests")

// serve runs a Go worker on a carrier until the lane ends.
func serve(ctx context.Context, w *lanetest.Worker, carrier lane.Carrier) error {
	l, err := w.Accept(ctx, carrier, lane.Config{Token: token, Agent: "go"})
	if err != nil {
		return err
	}
	return l.Run(ctx)
}

// background serves a carrier, and has the test wait for its end.
func background(t *testing.T, w *lanetest.Worker, carrier lane.Carrier) {
	t.Helper()
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := serve(context.WithoutCancel(t.Context()), w, carrier); err != nil {
			t.Logf("the worker's lane: %v", err)
		}
	})
	t.Cleanup(serving.Wait)
}

func TestGoWorkerConformsOverAPipe(t *testing.T) {
	var w lanetest.Worker
	lanetest.Run(t, lanetest.Peer{Slots: 64, Dial: func(t *testing.T) (lane.Carrier, []byte) {
		t.Helper()
		a, b := net.Pipe()
		background(t, &w, lane.Local(b, 0))
		return lane.Local(a, 0), token
	}})
}

func TestGoWorkerConformsOverASocket(t *testing.T) {
	var w lanetest.Worker
	lanetest.Run(t, lanetest.Peer{Slots: 64, Dial: func(t *testing.T) (lane.Carrier, []byte) {
		t.Helper()
		a, b := sockets(t)
		background(t, &w, lane.Local(b, 0))
		return lane.Local(a, 0), token
	}})
}

func sockets(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	at := filepath.Join(t.TempDir(), "s")
	var lc net.ListenConfig
	lis, err := lc.Listen(t.Context(), "unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	var d net.Dialer
	a, err := d.DialContext(t.Context(), "unix", at)
	if err != nil {
		t.Fatal(err)
	}
	b, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// laneServer serves the lane alone.
type laneServer struct {
	snakepitv1.UnimplementedWorkerServer

	worker *lanetest.Worker
}

func (s laneServer) Lane(stream grpc.BidiStreamingServer[snakepitv1.LaneRequest, snakepitv1.LaneResponse]) error {
	return serve(stream.Context(), s.worker, lane.ServerStream(stream))
}

func TestGoWorkerConformsOverGRPC(t *testing.T) {
	lis := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	snakepitv1.RegisterWorkerServer(server, laneServer{worker: &lanetest.Worker{}})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(lis) })
	conn, err := grpc.NewClient("passthrough:bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		serving.Wait()
	})
	client := snakepitv1.NewWorkerClient(conn)
	lanetest.Run(t, lanetest.Peer{Slots: 64, Dial: func(t *testing.T) (lane.Carrier, []byte) {
		t.Helper()
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		s, err := client.Lane(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return lane.ClientStream(s, cancel), token
	}})
}
