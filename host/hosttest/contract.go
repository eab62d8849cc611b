package hosttest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// patience bounds every wait of the contract: it's for real processes on a busy machine.
const patience = 30 * time.Second

// Contract is what [TestLauncher] needs. The worker that Spec starts must offer:
//
//	echo(value)       returns value
//	count(n)          yields the integers 0 to n-1
//	total(numbers)    numbers is its input stream; returns their sum
//	wait()            goes on until it's cancelled, which it heeds
//	fail(message)     raises an error with that message, of the type that the adapter's language has for it
//	ask(value)        returns what the host tool "answer" returns for {value: value}
//	die()             ends its process at once, as os._exit(3) does
//
// ContractTools are the same in Go, for the fake.
type Contract struct {
	Launcher host.Launcher
	Spec     host.Spec
}

// TestLauncher is the contract of host.Launcher, host.Worker and host.Running.
// open is called once for each of its subtests.
func TestLauncher(t *testing.T, open func(t *testing.T) Contract) {
	t.Helper()
	for name, test := range map[string]func(*bench){
		"WorkerSaysWhatItOffers":                 workerSaysWhatItOffers,
		"CallGivesItsResult":                     callGivesItsResult,
		"DoneIsClosedBeforeTheResultIsGiven":     doneIsClosedBeforeTheResultIsGiven,
		"ChunksComeInOrder":                      chunksComeInOrder,
		"InputReachesTheTool":                    inputReachesTheTool,
		"ToolErrorIsTyped":                       toolErrorIsTyped,
		"UnknownToolIsNotFound":                  unknownToolIsNotFound,
		"CancelFreesTheCallerAtOnce":             cancelFreesTheCallerAtOnce,
		"CancelledWorkerServesAgain":             cancelledWorkerServesAgain,
		"DeathEndsTheCallAndTheWorker":           deathEndsTheCallAndTheWorker,
		"StartOnADeadWorkerSaysThatNothingRan":   startOnADeadWorkerSaysThatNothingRan,
		"StoppedWorkerEndsWithoutError":          stoppedWorkerEndsWithoutError,
		"StopMayBeCalledTwice":                   stopMayBeCalledTwice,
		"KillEndsARunningCall":                   killEndsARunningCall,
		"WorkerCallsTheHost":                     workerCallsTheHost,
		"LaunchOfACancelledContextLeavesNothing": launchOfACancelledContextLeavesNothing,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			test(newBench(ctx, t, open(t)))
		})
	}
}

// bench is one launched worker and what its test needs.
type bench struct {
	*testing.T

	ctx    context.Context //nolint:containedctx // the test's, which the bench doesn't outlive
	c      Contract
	worker host.Worker
}

func newBench(ctx context.Context, t *testing.T, c Contract) *bench {
	t.Helper()
	if c.Spec.Worker == "" {
		c.Spec.Worker = "contract-1"
	}
	w, err := c.Launcher.Launch(ctx, c.Spec, answers{})
	if err != nil {
		t.Fatalf("Launch: %v", err)
	}
	b := &bench{t, ctx, c, w}
	b.stopAtTheEnd(ctx, w)
	return b
}

func (b *bench) stopAtTheEnd(ctx context.Context, w host.Worker) {
	b.Cleanup(func() {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if err := w.Stop(detached); err != nil {
			b.Errorf("Stop: %v", err)
		}
	})
}

// answers is the host's side: the tool answer gives back its value.
type answers struct{}

func (answers) ServeTool(_ context.Context, _ host.WorkerID, inv host.Invocation) ([]byte, error) {
	if inv.Tool != "answer" {
		return nil, errdefs.New(errdefs.ToolNotFound, "no tool %s", inv.Tool)
	}
	return argument(inv.Payload, "value")
}

func argument(args []byte, name string) ([]byte, error) {
	var m map[string]msgpack.RawMessage
	if err := msgpack.Unmarshal(args, &m); err != nil {
		return nil, errdefs.New(errdefs.InvalidArguments, "arguments: %v", err)
	}
	if len(m[name]) == 0 {
		return encode(nil), nil // a RawMessage of nil is empty
	}
	return m[name], nil
}

func encode(v any) []byte {
	b, _ := msgpack.Marshal(v) // plain values only: they always encode
	return b
}

func (b *bench) start(tool string, args map[string]any, change func(*host.Invocation)) host.Running {
	b.Helper()
	if args == nil {
		args = map[string]any{}
	}
	inv := host.Invocation{ID: "call-1", Tool: tool, Payload: encode(args)}
	if change != nil {
		change(&inv)
	}
	run, err := b.worker.Start(b.ctx, inv)
	if err != nil {
		b.Fatalf("Start(%s): %v", tool, err)
	}
	return run
}

// all reads a call to its end, progress left out.
func (b *bench) all(run host.Running) (chunks [][]byte, result []byte, err error) {
	for {
		m, err := run.Recv(b.ctx)
		switch {
		case err != nil:
			return chunks, nil, err
		case m.Last:
			return chunks, m.Payload, nil
		case m.Progress == nil:
			chunks = append(chunks, m.Payload)
		}
	}
}

func (b *bench) result(run host.Running) []byte {
	b.Helper()
	_, result, err := b.all(run)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

func (b *bench) equal(what string, got []byte, want any) {
	b.Helper()
	var v any
	if err := msgpack.Unmarshal(got, &v); err != nil {
		b.Fatalf("%s: %v in % x", what, err, got)
	}
	var w any
	_ = msgpack.Unmarshal(encode(want), &w) // what encodes decodes
	if d := cmp.Diff(number(w), number(v)); d != "" {
		b.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// number makes integers alike: msgpack has many sizes of them.
func number(v any) any {
	var n int64
	if err := msgpack.Unmarshal(encode(v), &n); err == nil {
		return n
	}
	return v
}

func (b *bench) wait(what string, done <-chan struct{}) {
	b.Helper()
	select {
	case <-done:
	case <-b.ctx.Done():
		b.Fatalf("%s: not in %s", what, patience)
	}
}

func workerSaysWhatItOffers(b *bench) {
	d := b.worker.Description()
	var names []string
	for _, t := range d.Tools {
		names = append(names, t.Name)
	}
	want := []string{"ask", "count", "die", "echo", "fail", "total", "wait"}
	if diff := cmp.Diff(want, names); diff != "" {
		b.Errorf("tools (-want +got):\n%s", diff)
	}
	if d.Slots < 1 || d.Process.PID <= 0 || d.Adapter == "" {
		b.Errorf("description %+v lacks slots, pid or adapter", d)
	}
	for _, t := range d.Tools {
		if t.Stream != (t.Name == "count") || (t.InputStream != "") != (t.Name == "total") {
			b.Errorf("tool %s: stream %t, input stream %q", t.Name, t.Stream, t.InputStream)
		}
	}
}

func callGivesItsResult(b *bench) {
	for _, v := range []any{"hello", int64(-7), []byte{0, 1, 255}, nil, true} {
		got := b.result(b.start("echo", map[string]any{"value": v}, nil))
		b.equal("echo", got, v)
	}
}

func doneIsClosedBeforeTheResultIsGiven(b *bench) {
	run := b.start("echo", map[string]any{"value": "x"}, nil)
	b.result(run)
	select {
	case <-run.Done():
	default:
		b.Error("the result is there and Done isn't closed")
	}
}

func chunksComeInOrder(b *bench) {
	run := b.start("count", map[string]any{"n": 100}, func(inv *host.Invocation) { inv.Stream = true })
	chunks, _, err := b.all(run)
	if err != nil || len(chunks) != 100 {
		b.Fatalf("%d chunks (%v), want 100", len(chunks), err)
	}
	for i, c := range chunks {
		b.equal("chunk", c, i)
	}
}

func inputReachesTheTool(b *bench) {
	run := b.start("total", nil, func(inv *host.Invocation) { inv.Input = true })
	for n := range 10 {
		if err := run.Send(b.ctx, encode(n)); err != nil {
			b.Fatal(err)
		}
	}
	if err := run.CloseSend(); err != nil {
		b.Fatal(err)
	}
	b.equal("total", b.result(run), 45)
}

func toolErrorIsTyped(b *bench) {
	_, _, err := b.all(b.start("fail", map[string]any{"message": "no luck"}, nil))
	wantReason(b.T, err, errdefs.PythonException)
	var e *errdefs.Error
	if !errors.As(err, &e) || e.Exception == nil || e.Exception.Message != "no luck" {
		b.Errorf("error %+v doesn't carry the exception", err)
	}
	b.equal("echo after a failure", b.result(b.start("echo", map[string]any{"value": 1}, nil)), 1)
}

func unknownToolIsNotFound(b *bench) {
	_, _, err := b.all(b.start("nothing", nil, nil))
	wantReason(b.T, err, errdefs.ToolNotFound)
}

func cancelFreesTheCallerAtOnce(b *bench) {
	run := b.start("wait", nil, nil)
	run.Cancel(errdefs.New(errdefs.Cancelled, "enough"))
	_, err := run.Recv(b.ctx)
	wantReason(b.T, err, errdefs.Cancelled)
	run.Cancel(errdefs.New(errdefs.Deadline, "again")) // does nothing
	b.wait("end of a cancelled call", run.Done())
}

func cancelledWorkerServesAgain(b *bench) {
	run := b.start("wait", nil, nil)
	run.Cancel(errdefs.New(errdefs.Deadline, "too late"))
	b.wait("end of a cancelled call", run.Done())
	b.equal("echo", b.result(b.start("echo", map[string]any{"value": 1}, nil)), 1)
}

func deathEndsTheCallAndTheWorker(b *bench) {
	run := b.start("die", nil, nil)
	_, _, err := b.all(run)
	wantReason(b.T, err, errdefs.WorkerCrashed)
	if !errdefs.MayHaveRun(err) {
		b.Errorf("%v doesn't say that the call may have run", err)
	}
	b.wait("end of the call", run.Done())
	b.wait("end of the worker", b.worker.Done())
	wantReason(b.T, b.worker.Err(), errdefs.WorkerCrashed)
}

func startOnADeadWorkerSaysThatNothingRan(b *bench) {
	_, _, _ = b.all(b.start("die", nil, nil))
	b.wait("end of the worker", b.worker.Done())
	_, err := b.worker.Start(b.ctx, host.Invocation{ID: "late", Tool: "echo", Payload: encode(map[string]any{"value": 1})})
	wantReason(b.T, err, errdefs.WorkerCrashed)
	if errdefs.MayHaveRun(err) {
		b.Errorf("%v says that it may have run", err)
	}
}

func stoppedWorkerEndsWithoutError(b *bench) {
	if err := b.worker.Stop(b.ctx); err != nil {
		b.Fatal(err)
	}
	b.wait("end of the worker", b.worker.Done())
	if err := b.worker.Err(); err != nil {
		b.Errorf("Err after Stop: %v", err)
	}
}

func stopMayBeCalledTwice(b *bench) {
	for range 2 {
		if err := b.worker.Stop(b.ctx); err != nil {
			b.Error(err)
		}
	}
}

func killEndsARunningCall(b *bench) {
	killer, ok := b.worker.(host.Killer)
	if !ok {
		b.Skip("the worker is no Killer")
	}
	run := b.start("wait", nil, nil)
	killer.Kill(errdefs.New(errdefs.WorkerHung, "it doesn't answer"))
	_, _, err := b.all(run)
	if err == nil || !errdefs.MayHaveRun(err) {
		b.Errorf("error %v doesn't say that the call may have run", err)
	}
	b.wait("end of the worker", b.worker.Done())
}

func workerCallsTheHost(b *bench) {
	b.equal("ask", b.result(b.start("ask", map[string]any{"value": "deep"}, nil)), "deep")
}

func launchOfACancelledContextLeavesNothing(b *bench) {
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	spec := b.c.Spec
	spec.Worker = "contract-2"
	w, err := b.c.Launcher.Launch(ctx, spec, answers{})
	if err == nil {
		b.Errorf("Launch under an ended context gave a worker")
		_ = w.Stop(b.ctx) // cleaning up what shouldn't be there
	}
}

// ContractTools are the tools of a [Contract], for the fake launcher.
func ContractTools() []Tool {
	tool := func(name string, run func(context.Context, *Call) ([]byte, error)) Tool {
		return Tool{Tool: host.Tool{Name: name}, Run: run}
	}
	tools := []Tool{
		tool("echo", func(_ context.Context, c *Call) ([]byte, error) { return argument(c.Payload, "value") }),
		tool("wait", func(ctx context.Context, _ *Call) ([]byte, error) { <-ctx.Done(); return nil, context.Cause(ctx) }),
		tool("ask", func(ctx context.Context, c *Call) ([]byte, error) { return c.Host(ctx, "answer", c.Payload) }),
		tool("count", count),
		tool("total", total),
		tool("fail", fail),
		tool("die", func(_ context.Context, c *Call) ([]byte, error) { c.Worker.Crash(); return nil, nil }),
	}
	tools[slices.IndexFunc(tools, func(t Tool) bool { return t.Name == "count" })].Stream = true
	tools[slices.IndexFunc(tools, func(t Tool) bool { return t.Name == "total" })].InputStream = "numbers"
	return tools
}

func count(ctx context.Context, c *Call) ([]byte, error) {
	raw, err := argument(c.Payload, "n")
	if err != nil {
		return nil, err
	}
	var n int
	if err := msgpack.Unmarshal(raw, &n); err != nil {
		return nil, err
	}
	for i := range n {
		if err := c.Emit(ctx, encode(i)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func total(ctx context.Context, c *Call) ([]byte, error) {
	sum := 0
	for {
		b, err := c.Next(ctx)
		if err != nil {
			return encode(sum), nil //nolint:nilerr // the end of the chunks, or of the call
		}
		var n int
		if err := msgpack.Unmarshal(b, &n); err != nil {
			return nil, err
		}
		sum += n
	}
}

func fail(_ context.Context, c *Call) ([]byte, error) {
	raw, err := argument(c.Payload, "message")
	if err != nil {
		return nil, err
	}
	var text string
	if err := msgpack.Unmarshal(raw, &text); err != nil {
		return nil, err
	}
	e := errdefs.New(errdefs.PythonException, "%s", text)
	e.Exception = &errdefs.Exception{Type: "ValueError", Bases: []string{"Exception", "BaseException"}, Message: text}
	return nil, e
}
