package main

import (
	"bytes"
	"context"
	"iter"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/plugin/hardware"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// fakeHost answers as a host would, and remembers what it was asked.
type fakeHost struct {
	fakeCluster
	fakeOverrides
	moves fakeMoves

	tools    []snakepit.Tool
	status   hostStatus
	workers  []workerStatus
	sessions []sessionStatus
	progress []snakepit.Progress
	give     [][]byte // the chunks, or the result
	err      error    // how a call ends
	block    bool     // it ends with its context only
	ended    error    // why the host ends by itself
	endsWell bool     // it does, for no such reason
	onWait   func()   // called when a command begins to wait
	report   embed.Report

	reload   configReload
	reloaded chan struct{}    // gets a value when reload was asked for; may be nil
	hangups  chan<- os.Signal // where a command waits for SIGHUP

	calls  []invocation
	asked  []string // of reload, drain and kill
	steps  []reloadStep
	closed int
	shut   []error // of the contexts that Shutdown got, when it was over
}

func (h *fakeHost) Tools(context.Context) ([]snakepit.Tool, error) { return h.tools, nil }

func (h *fakeHost) Status(context.Context) (hostStatus, error) { return h.status, nil }

func (h *fakeHost) Workers(context.Context) ([]workerStatus, error) { return h.workers, nil }

func (h *fakeHost) Sessions(context.Context, string) ([]sessionStatus, error) { return h.sessions, nil }

func (h *fakeHost) Close() error { h.closed++; return nil }

func (h *fakeHost) Membership() (id, address string) { return "", "" }

func (h *fakeHost) Quorum() bool { return true }

func (h *fakeHost) Socket() string { return "/run/snakepit/1/api.sock" }

func (h *fakeHost) Call(ctx context.Context, inv invocation) ([]byte, error) {
	var result []byte
	for v, err := range h.Stream(ctx, inv) {
		if err != nil {
			return nil, err
		}
		result = v
	}
	return result, nil
}

func (h *fakeHost) Stream(ctx context.Context, inv invocation) iter.Seq2[[]byte, error] {
	if inv.OnProgress != nil {
		for _, p := range h.progress {
			inv.OnProgress(p)
		}
	}
	inv.OnProgress = nil // functions can't be compared
	h.calls = append(h.calls, inv)
	return func(yield func([]byte, error) bool) {
		for _, v := range h.give {
			if !yield(v, nil) {
				return
			}
		}
		if h.block {
			if h.onWait != nil {
				h.onWait()
			}
			<-ctx.Done()
			yield(nil, ctx.Err())
			return
		}
		if h.err != nil {
			yield(nil, h.err)
		}
	}
}

func (h *fakeHost) Wait(ctx context.Context) error {
	if h.onWait != nil {
		h.onWait()
	}
	if h.ended != nil || h.endsWell {
		return h.ended
	}
	<-ctx.Done()
	return ctx.Err()
}

func (h *fakeHost) Shutdown(ctx context.Context) error {
	if h.block {
		<-ctx.Done()
	}
	h.shut = append(h.shut, ctx.Err())
	return nil
}

// outcome is what one command line did.
type outcome struct {
	code           int
	stdout, stderr string
	launched       []launch
	dialled        []string
	swept          []embed.CleanupConfig
}

// runWith runs a command line in which every host is h.
func runWith(ctx context.Context, t *testing.T, h *fakeHost, force <-chan struct{}, args ...string) outcome {
	t.Helper()
	return runWithEnv(ctx, t, h, force, nil, args...)
}

// runWithEnv is runWith with variables in the environment.
func runWithEnv(ctx context.Context, t *testing.T, h *fakeHost, force <-chan struct{}, environ []string, args ...string) outcome {
	t.Helper()
	var o outcome
	var stdout, stderr bytes.Buffer
	p := newProgram(strings.NewReader(`{"from": "stdin"}`), &stdout, &stderr)
	p.force = force
	home := t.TempDir()
	p.environ = func() []string { return environ }
	p.getenv = func(name string) string {
		for _, pair := range append([]string{"HOME=" + home}, environ...) {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
		return ""
	}
	p.hangups = func(c chan<- os.Signal) { h.hangups = c }
	p.dial = func(_ context.Context, target string) (engine, error) {
		o.dialled = append(o.dialled, target)
		return h, nil
	}
	p.launch = func(ctx context.Context, l launch) (localHost, error) {
		o.launched = append(o.launched, l)
		return h, ctx.Err()
	}
	p.sweep = func(_ context.Context, cfg embed.CleanupConfig) (embed.Report, error) {
		o.swept = append(o.swept, cfg)
		return h.report, h.err
	}
	p.detect = func(context.Context) (hardware.Hardware, error) { return fixedHardware(), nil }
	p.offline = fakeOffline{h}
	o.code = p.run(ctx, args)
	o.stdout, o.stderr = stdout.String(), stderr.String()
	return o
}

// runOn runs a command line against a live host h.
func runOn(t *testing.T, h *fakeHost, args ...string) outcome {
	t.Helper()
	return runWith(t.Context(), t, h, nil, append(args, "--host", "/fake.sock")...)
}

// pack encodes values, one after the other.
func pack(t *testing.T, list ...any) [][]byte {
	t.Helper()
	var out [][]byte
	for _, v := range list {
		b, err := values.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func fixedStatus() hostStatus {
	return hostStatus{
		Node: "local", PID: 4711, Version: "1.2.3", State: "ready", DataDir: "/data", SessionCount: 2,
		StartedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Refused: map[string]uint64{"tool_not_found": 2},
		Pools: []poolStatus{
			{
				Name: "default", Adapter: "tools.py", Size: 2, MinSize: 2, MaxSize: 2, Ready: 2, Busy: 1, Slots: 2, Queued: 3,
				Received: 17, Open: 4, Calls: 12, OK: 8, Errors: map[string]uint64{"deadline": 1, "python_exception": 3, "queue_full": 1}, Rejected: 1, Retried: 2,
				QueueTime: timesOf(fixedTimes(9)), RunTime: timesOf(fixedTimes(11)), BytesIn: 3000, BytesOut: 5000, Replaced: 1,
				Recycled: map[string]uint64{"age": 1}, Breaker: breakerStatus{State: "closed"},
				Events: []poolEvent{
					{At: time.Date(2026, 1, 2, 5, 4, 3, 0, time.UTC), Kind: "worker_died", Worker: "default-0", Reason: "worker_crashed", Detail: "signal SIGSEGV"},
					{At: time.Date(2026, 1, 2, 5, 4, 4, 0, time.UTC), Kind: "worker_ready", Worker: "default-1"},
				},
			},
			{
				Name: "ml", Adapter: "ml:Model", Size: 1, MaxSize: 4, Starting: 1, LastStartError: "ImportError: no torch",
				Breaker: breakerStatus{State: "open", Failures: 5, RetryAt: time.Date(2026, 1, 2, 5, 4, 25, 0, time.UTC)},
			},
		},
	}
}

// fixedTimes is n times, from a millisecond on.
func fixedTimes(n uint64) host.Histogram {
	return host.Histogram{
		Buckets: []host.Bucket{
			{From: time.Millisecond, Below: 1125 * time.Microsecond, Count: n - 1}, {From: 2 * time.Second, Below: 2250 * time.Millisecond, Count: 1},
		},
		Sum: time.Duration(n-1)*time.Millisecond + 2*time.Second, Max: 2 * time.Second,
	}
}

func fixedSessions() []sessionStatus {
	opened := time.Date(2026, 1, 2, 4, 4, 5, 0, time.UTC)
	return []sessionStatus{
		{ID: "a", Pool: "default", Node: "local", Worker: "default-1", Epoch: 2, OpenedAt: opened, ExpiresAt: opened.Add(2 * time.Hour)},
		{ID: "b", Pool: "ml", Node: "local", Epoch: 1, OpenedAt: opened},
		{ID: "c", Pool: "ml", Node: "other", Worker: "ml-7", Epoch: 5, OpenedAt: opened, Away: true},
	}
}

func fixedWorkers() []workerStatus {
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return []workerStatus{
		{
			ID: "default-1", Pool: "default", Node: "local", PID: 100, State: "ready", Slots: 1, Busy: 1, Calls: 7, Errors: 2, LastError: "deadline", RunTime: 1.5,
			SessionCount: 2, RSSBytes: 50 << 20, StartedAt: started,
		},
		{ID: "ml-1", Pool: "ml", Node: "local", PID: 101, State: "starting", Slots: 4, Devices: []string{"0", "1"}, StartedAt: started},
	}
}

func fixedTools() []snakepit.Tool {
	return []snakepit.Tool{
		{
			Name: "predict", Pool: "default", Description: "Guess digits.\n\nThe nearest come first.", Idempotent: true,
			InputSchema:  `{"type":"object","properties":{"top":{"type":"integer","default":3,"minimum":1},"pixels":{"type":"array","items":{"type":"number"}},"near":{"anyOf":[{"$ref":"#/$defs/Guess"},{"type":"null"}],"default":null}},"required":["pixels"],"$defs":{"Guess":{"type":"object","title":"Guess","properties":{"label":{"type":"integer"},"score":{"type":"number"}},"required":["label"]}}}`,
			OutputSchema: `{"type":"array","items":{"$ref":"#/$defs/Guess"},"$defs":{"Guess":{"type":"object","title":"Guess","properties":{"label":{"type":"integer"},"score":{"type":"number"}},"required":["label"]}}}`,
		},
		{Name: "train", Pool: "default", Description: "Learn.", Stream: true, InputSchema: `{"type":"object","properties":{"epochs":{"type":"integer"}},"required":["epochs"]}`},
		{Name: "validate", Description: "Check an order.", InputSchema: `{"type":"object"}`},
	}
}

func toolFailure() error {
	e := errdefs.New(errdefs.PythonException, "ValueError: n is %d", 3)
	e.Exception = &errdefs.Exception{
		Type: "ValueError", Bases: []string{"Exception", "BaseException"}, Message: "n is 3",
		Traceback: "Traceback (most recent call last):\n  File \"tools.py\", line 3, in f\nValueError: n is 3\n",
	}
	e.Hint = "give an even n"
	e.MayHaveRun = true
	return e.At(errdefs.Where{Pool: "default", Worker: "default-1", Tool: "f"})
}

// bareProgram has no environment and no host to talk to.
func bareProgram() (p *program, stderr *bytes.Buffer) {
	stderr = new(bytes.Buffer)
	p = newProgram(strings.NewReader(""), new(bytes.Buffer), stderr)
	p.getenv = func(string) string { return "" }
	p.environ = func() []string { return nil }
	return p, stderr
}

func (h *fakeHost) Upgrade(context.Context) (int, error) {
	h.status.PID = 4712
	return 4712, nil
}

func (h *fakeHost) Heir() int { return 0 }

func (h *fakeHost) Left() bool { return h.left }

func (h *fakeHost) ReloadConfig(context.Context) (configReload, error) {
	if h.reloaded != nil {
		h.reloaded <- struct{}{}
	}
	return h.reload, h.err
}

func (h *fakeHost) Reload(_ context.Context, pool string, step func(reloadStep)) error {
	h.asked = append(h.asked, "reload "+pool)
	for _, s := range h.steps {
		step(s)
	}
	return h.err
}

func (h *fakeHost) DrainWorker(_ context.Context, id string) error {
	h.asked = append(h.asked, "drain "+id)
	return h.err
}

func (h *fakeHost) KillWorker(_ context.Context, id string) error {
	h.asked = append(h.asked, "kill "+id)
	return h.err
}
