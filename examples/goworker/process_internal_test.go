//go:build unix

package main

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/snakepit-go/snakepit/plugin/lane"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// TestMain lets this test be the worker as well: a host that starts it sets the cookie.
func TestMain(m *testing.M) {
	if os.Getenv("SNAKEPIT_PLUGIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is the worker in a process of its own, without a host.
type process struct {
	client snakepitv1.WorkerClient
	pid    int
	count  uint64 // of attaches
}

func startProcess(t *testing.T, slots int) *process {
	t.Helper()
	ctx, kill := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, executable(t))
	cmd.Env = append(os.Environ(), "SNAKEPIT_PLUGIN=0d1c8c52-5a0f-4c39-9a83-6e5e0b7d1f54", "PLUGIN_PROTOCOL_VERSIONS=1",
		"SNAKEPIT_WORKER_SLOTS="+strconv.Itoa(slots), "PLUGIN_UNIX_SOCKET_DIR="+socketDir(t))
	cmd.Stderr = &lines{t}
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill()
		_ = cmd.Wait() // killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	parts := strings.Split(strings.TrimSpace(line), "|")
	if err != nil || len(parts) < 5 || parts[4] != "grpc" {
		t.Fatalf("handshake %q: %v", line, err)
	}
	return &process{client: snakepitv1.NewWorkerClient(dial(t, parts[2], parts[3])), pid: cmd.Process.Pid}
}

func dial(t *testing.T, network, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:worker", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// socketDir is a folder with a short name: a socket's path is at most 107 bytes.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gow") //nolint:usetesting // t.TempDir has the test's name in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// lines logs what a worker writes to standard error.
type lines struct{ t *testing.T }

func (l *lines) Write(p []byte) (int, error) {
	l.t.Logf("worker: %s", strings.TrimSpace(string(p)))
	return len(p), nil
}

func (p *process) attach(t *testing.T) *snakepitv1.AttachResponse {
	t.Helper()
	p.count++
	r, err := p.client.Attach(t.Context(), &snakepitv1.AttachRequest{Host: "test", Incarnation: p.count, Worker: "w-1"})
	if err != nil {
		t.Fatalf("attach: %v", err)
	}
	return r
}

func (p *process) local(t *testing.T) (lane.Carrier, []byte) {
	t.Helper()
	r := p.attach(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", r.GetLaneAddress())
	if err != nil {
		t.Fatal(err)
	}
	return lane.Local(conn, 0), r.GetLaneToken()
}

func (p *process) grpc(t *testing.T) (lane.Carrier, []byte) {
	t.Helper()
	r := p.attach(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s, err := p.client.Lane(ctx)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	return lane.ClientStream(s, cancel), r.GetLaneToken()
}
