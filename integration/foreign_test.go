//go:build integration && linux

package integration_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/snakepit-go/snakepit/integration/program"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Any go-plugin host can use a worker. Here it's go-plugin as it comes, with its own
// runner; of ours there is nothing but the generated client.

// foreignWorker is a worker under a host of another make.
type foreignWorker struct {
	snakepitv1.WorkerClient

	client   *plugin.Client
	protocol plugin.ClientProtocol
	cmd      *exec.Cmd
}

// startForeign starts a worker for testdata/foreign.py, and ends it with the test.
func startForeign(t *testing.T) *foreignWorker {
	t.Helper()
	adapter, err := filepath.Abs(filepath.Join("testdata", "foreign.py"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program.Python(t), "-m", "snakepit", adapter) // go-plugin ends it, in order
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  1,
			MagicCookieKey:   "SNAKEPIT_PLUGIN",
			MagicCookieValue: "0d1c8c52-5a0f-4c39-9a83-6e5e0b7d1f54",
		},
		Plugins:          plugin.PluginSet{"worker": &foreignPlugin{}},
		Cmd:              cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
	})
	t.Cleanup(client.Kill)
	protocol, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := protocol.Dispense("worker")
	if err != nil {
		t.Fatal(err)
	}
	api, ok := raw.(snakepitv1.WorkerClient)
	if !ok {
		t.Fatalf("dispensed a %T", raw)
	}
	return &foreignWorker{WorkerClient: api, client: client, protocol: protocol, cmd: cmd}
}

// foreignPlugin is what a go-plugin host writes for a gRPC plugin.
type foreignPlugin struct{ plugin.NetRPCUnsupportedPlugin }

// GRPCServer refuses: this is a host.
func (*foreignPlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this is a host")
}

// GRPCClient returns the generated client.
func (*foreignPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return snakepitv1.NewWorkerClient(conn), nil
}

func TestForeignHostLearnsWhatAWorkerOffers(t *testing.T) {
	t.Parallel()
	worker := startForeign(t)
	if err := worker.protocol.Ping(); err != nil {
		t.Error(err)
	}
	described, err := worker.Describe(t.Context(), &snakepitv1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var tools []string
	for _, tool := range described.GetTools() {
		tools = append(tools, fmt.Sprintf("%s stream=%t", tool.GetName(), tool.GetStream()))
	}
	want := []string{"add stream=false", "count stream=true", "spin stream=true"}
	if diff := cmp.Diff(want, tools); diff != "" {
		t.Error(diff)
	}
	if got, want := strconv.Itoa(int(described.GetPid())), worker.client.ID(); got != want {
		t.Errorf("pid %s, want %s", got, want)
	}
	if described.GetAdapter() != "Foreign" {
		t.Errorf("adapter %q, want Foreign", described.GetAdapter())
	}
}

func TestForeignHostCallsInJSON(t *testing.T) {
	t.Parallel()
	worker := startForeign(t)
	resp, err := worker.Call(t.Context(), &snakepitv1.WorkerCallRequest{
		Tool: "add", Payload: []byte(`{"a": 40, "b": 2}`), ContentType: "application/json",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(resp.GetPayload()); got != "42" {
		t.Errorf("add: %s, want 42", got)
	}
	_, err = worker.Call(t.Context(), &snakepitv1.WorkerCallRequest{
		Tool: "ad", Payload: []byte(`{}`), ContentType: "application/json",
	})
	if status.Code(err) != codes.NotFound {
		t.Errorf("unknown tool: %v, want NotFound", err)
	}
}

func TestForeignHostStreamsInJSON(t *testing.T) {
	t.Parallel()
	worker := startForeign(t)
	stream, err := worker.Stream(t.Context(), &snakepitv1.WorkerStreamRequest{
		Tool: "count", Payload: []byte(`{"n": 4}`), ContentType: "application/json",
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(chunk.GetPayload()))
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "3"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestForeignHostDrains(t *testing.T) {
	t.Parallel()
	worker := startForeign(t)
	if _, err := worker.Drain(t.Context(), &snakepitv1.DrainRequest{}); err != nil {
		t.Fatal(err)
	}
	_, err := worker.Call(t.Context(), &snakepitv1.WorkerCallRequest{
		Tool: "add", Payload: []byte(`{"a": 1, "b": 1}`), ContentType: "application/json",
	})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a call after Drain: %v, want Unavailable", err)
	}
}

func TestForeignKillIsQuickAndNeverKills(t *testing.T) {
	const trials, bound, slack = 20, 100 * time.Millisecond, 10
	var took []time.Duration
	for range trials {
		worker := startForeign(t)
		if _, err := worker.Describe(t.Context(), &snakepitv1.DescribeRequest{}); err != nil {
			t.Fatal(err)
		}
		took = append(took, killForeign(t, worker))
	}
	slices.Sort(took)
	median := took[trials/2]
	t.Logf("Kill: median %v, fastest %v, slowest %v of %d", median, took[0], took[trials-1], trials)
	if median > slack*bound {
		t.Errorf("Kill's median is %v, want at most %v", median, slack*bound)
	}
}

func TestForeignKillEndsABusyWorkerInOrder(t *testing.T) {
	worker := startForeign(t)
	stream, err := worker.Stream(t.Context(), &snakepitv1.WorkerStreamRequest{
		Tool: "spin", Payload: []byte(`{}`), ContentType: "application/json",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	t.Logf("Kill took %v", killForeign(t, worker))
	if _, err := stream.Recv(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the tool that never ends: %v, want an error", err)
	}
}

// killForeign ends a worker and returns how long that took. It checks that the
// process ended by itself: after two seconds go-plugin would have killed it.
func killForeign(t *testing.T, worker *foreignWorker) time.Duration {
	t.Helper()
	began := time.Now()
	worker.client.Kill()
	took := time.Since(began)
	if state := worker.cmd.ProcessState; state == nil || !state.Success() {
		t.Errorf("the worker ended with %v after %v, want status 0", state, took)
	}
	return took
}

func TestWorkerEndsWhenItsForeignHostIsKilled(t *testing.T) {
	t.Parallel()
	host := filepath.Join(t.TempDir(), "foreignhost")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", host, "./testdata/foreignhost")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the host: %v\n%s", err, out)
	}
	for _, tool := range []string{"count", "spin"} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			const bound, slack = 2 * time.Second, 10
			took := outlivesHost(t, host, tool)
			t.Logf("gone %v after its host's SIGKILL", took)
			if took > slack*bound {
				t.Errorf("gone after %v, want %v at most", took, slack*bound)
			}
		})
	}
}

// outlivesHost kills a host whose worker has been called, and returns how long the
// worker lived on.
func outlivesHost(t *testing.T, host, tool string) time.Duration {
	t.Helper()
	arguments := map[string]string{"count": `{"n": 1}`, "spin": `{}`}[tool]
	cmd := exec.CommandContext(t.Context(), host, program.Python(t), filepath.Join("testdata", "foreign.py"), tool, arguments)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	worker, fd := pin(t, pid)
	began := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	if !endsWithin(t, fd, 30*time.Second) {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		t.Fatalf("worker %d still runs", worker.pid)
	}
	return time.Since(began)
}

// pin identifies a live process and opens a pidfd on it.
func pin(t *testing.T, pid int) (process, int) {
	t.Helper()
	found, ok := identify(pid)
	fd, err := unix.PidfdOpen(pid, 0)
	if !ok || err != nil {
		t.Fatalf("process %d isn't running: %v", pid, err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if !found.alive() {
		t.Fatalf("process %d has ended", pid)
	}
	return found, fd
}

// endsWithin waits for the end of a process.
func endsWithin(t *testing.T, pidfd int, limit time.Duration) bool {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(limit.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
}
