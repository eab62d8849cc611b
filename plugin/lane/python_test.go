package lane_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/plugin/lane/lanetest"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// python finds the interpreter that has the SDK.
func python(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("SNAKEPIT_TEST_PYTHON"); p != "" {
		return p
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	at := filepath.Join(dir, ".venv", "bin", "python")
	if _, err := os.Stat(at); err != nil {
		t.Fatalf("no Python with the SDK at %s: run make setup, or set SNAKEPIT_TEST_PYTHON", at)
	}
	return at
}

// pythonWorker is the suite's adapter in a real worker process.
type pythonWorker struct {
	client snakepitv1.WorkerClient
	pid    int
	count  uint64 // of attaches
}

func startPython(t *testing.T, slots int) *pythonWorker {
	t.Helper()
	ctx, kill := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, python(t), "-m", "snakepit", filepath.Join("lanetest", "testdata", "conformance.py"))
	cmd.Env = append(os.Environ(), "SNAKEPIT_PLUGIN=0d1c8c52-5a0f-4c39-9a83-6e5e0b7d1f54", "PLUGIN_PROTOCOL_VERSIONS=1",
		"CONFORMANCE_SLOTS="+strconv.Itoa(slots), "PLUGIN_UNIX_SOCKET_DIR="+socketDir(t))
	cmd.Stderr = &lines{t: t}
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
	conn, err := grpc.NewClient("passthrough:worker", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, parts[2], parts[3])
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w := &pythonWorker{client: snakepitv1.NewWorkerClient(conn), pid: cmd.Process.Pid}
	if _, err := w.client.Describe(t.Context(), &snakepitv1.DescribeRequest{}); err != nil {
		t.Fatalf("describe: %v", err)
	}
	return w
}

// socketDir is a folder with a short name: a socket's path is at most 107 bytes.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lane") //nolint:usetesting // t.TempDir has the test's name in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// lines logs what a worker writes to stderr.
type lines struct{ t *testing.T }

func (l *lines) Write(p []byte) (int, error) {
	l.t.Logf("worker: %s", strings.TrimSpace(string(p)))
	return len(p), nil
}

func (w *pythonWorker) attach(t *testing.T) *snakepitv1.AttachResponse {
	t.Helper()
	w.count++
	r, err := w.client.Attach(t.Context(), &snakepitv1.AttachRequest{Host: "lanetest", Incarnation: w.count, Worker: "w-1"})
	if err != nil {
		t.Fatalf("attach: %v", err)
	}
	return r
}

func (w *pythonWorker) local(t *testing.T) (lane.Carrier, []byte) {
	t.Helper()
	r := w.attach(t)
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "unix", r.GetLaneAddress())
	if err != nil {
		t.Fatal(err)
	}
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		t.Fatalf("a %T", conn)
	}
	if peer, err := lane.PeerOf(uc); err != nil || peer.PID != w.pid || peer.UID != os.Getuid() {
		t.Fatalf("the peer is %+v (%v), and the worker is process %d", peer, err, w.pid)
	}
	return lane.Local(conn, 0), r.GetLaneToken()
}

func (w *pythonWorker) grpc(t *testing.T) (lane.Carrier, []byte) {
	t.Helper()
	r := w.attach(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s, err := w.client.Lane(ctx)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	return lane.ClientStream(s, cancel), r.GetLaneToken()
}

func TestPythonWorkerConformsOverASocket(t *testing.T) {
	w := startPython(t, 1)
	lanetest.Run(t, lanetest.Peer{Dial: w.local, Slots: 1})
}

func TestPythonWorkerConformsOverGRPC(t *testing.T) {
	w := startPython(t, 1)
	lanetest.Run(t, lanetest.Peer{Dial: w.grpc, Slots: 1})
}

func TestPythonWorkerWithThreadsConformsOverASocket(t *testing.T) {
	w := startPython(t, 4)
	lanetest.Run(t, lanetest.Peer{Dial: w.local, Slots: 4})
}

func TestPythonWorkerWithThreadsConformsOverGRPC(t *testing.T) {
	w := startPython(t, 4)
	lanetest.Run(t, lanetest.Peer{Dial: w.grpc, Slots: 4})
}

var _ io.Writer = (*lines)(nil)
