//go:build unix

package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// pool starts a host whose workers are this test's own program.
func pool(t *testing.T, set ...string) *embed.Host {
	t.Helper()
	sp, err := embed.Start(t.Context(), embed.Config{Adapter: "exec:" + executable(t), Workers: 1, Set: set})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	})
	return sp
}

func TestPoolOfGoWorkersServesEveryKindOfCall(t *testing.T) {
	for _, carrier := range []string{"local", "grpc"} {
		t.Run(carrier, func(t *testing.T) {
			sp := pool(t, "lane="+carrier)
			calls(t, sp)
			streams(t, sp)
			session(t, sp)
			hostTool(t, sp)
			badArguments(t, sp)
		})
	}
}

func calls(t *testing.T, sp *embed.Host) {
	t.Helper()
	sum, err := snakepit.Call[int](t.Context(), sp, "sum", map[string]any{"numbers": []int{1, 2, 3}})
	if err != nil || sum != 6 {
		t.Errorf("sum = %d, %v", sum, err)
	}
	big := strings.Repeat("é", 1<<20)
	echoed, err := snakepit.Call[string](t.Context(), sp, "echo", map[string]any{"value": big})
	if err != nil || echoed != big {
		t.Errorf("2 MiB came back as %d bytes, %v", len(echoed), err)
	}
	total, err := snakepit.Call[int](t.Context(), sp, "sum", nil, snakepit.InputOf(10, 20, 30))
	if err != nil || total != 60 {
		t.Errorf("sum of chunks = %d, %v", total, err)
	}
}

func streams(t *testing.T, sp *embed.Host) {
	t.Helper()
	var got []int
	for n, err := range snakepit.Stream[int](t.Context(), sp, "count", map[string]any{"n": 1 << 30}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, n); n == 3 {
			break // leaving early cancels
		}
	}
	if !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("count streamed %v", got)
	}
	list, err := snakepit.Call[[]int](t.Context(), sp, "count", map[string]any{"n": 3})
	if err != nil || !slices.Equal(list, []int{0, 1, 2}) {
		t.Errorf("count called gave %v, %v", list, err)
	}
}

func session(t *testing.T, sp *embed.Host) {
	t.Helper()
	for i, want := range [][]string{{"a"}, {"a", "a"}} {
		kept, err := snakepit.Call[[]string](t.Context(), sp, "remember", map[string]any{"word": "a"}, snakepit.Session("s"))
		if err != nil || !slices.Equal(kept, want) {
			t.Errorf("call %d of the session remembers %v, %v; want %v", i, kept, err, want)
		}
	}
}

func hostTool(t *testing.T, sp *embed.Host) {
	t.Helper()
	twice := func(_ context.Context, in struct{ Value int }) (int, error) { return 2 * in.Value, nil }
	if err := snakepit.Handle(t.Context(), sp, "twice", twice); err != nil {
		t.Fatal(err)
	}
	got, err := snakepit.Call[int](t.Context(), sp, "call_back", map[string]any{"tool": "twice", "value": 21})
	if err != nil || got != 42 {
		t.Errorf("the host tool gave %d, %v", got, err)
	}
}

func badArguments(t *testing.T, sp *embed.Host) {
	t.Helper()
	err := sp.Call(t.Context(), "sink", map[string]any{"dta": "x"}, nil)
	if errdefs.ReasonOf(err) != errdefs.InvalidArguments {
		t.Errorf("a misspelt argument gives %v", err)
	}
	err = sp.Call(t.Context(), "fail", map[string]any{"message": "no"}, nil)
	var e *errdefs.Error
	if !errors.As(err, &e) || e.Exception == nil || e.Exception.Type != "ValueError" {
		t.Errorf("a tool's own error arrives as %v", err)
	}
}

func TestCancelledGoToolFreesItsWorker(t *testing.T) {
	sp := pool(t)
	before := pid(t, sp)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := sp.Call(ctx, "spin", nil, nil); errdefs.ReasonOf(err) != errdefs.Deadline {
		t.Errorf("a call that spins ends with %v", err)
	}
	if after := pid(t, sp); after != before {
		t.Errorf("process %d was replaced by %d: it didn't answer to the cancel", before, after)
	}
}

func TestGoWorkerThatDiesIsReplaced(t *testing.T) {
	sp := pool(t)
	before := pid(t, sp)
	err := sp.Call(t.Context(), "exit", map[string]any{"code": 7}, nil)
	var e *errdefs.Error
	if !errors.As(err, &e) || e.Reason != errdefs.WorkerCrashed || e.Exit == nil || e.Exit.Code != 7 || !e.MayHaveRun {
		t.Errorf("the call that ended its worker gives %v", err)
	}
	if after := pid(t, sp); after == before {
		t.Errorf("process %d answers after its end", after)
	}
}

func TestWhatAGoWorkerPrintsIsInTheHostsLog(t *testing.T) {
	log := make(lineWriter, 100)
	sp, err := embed.Start(t.Context(), embed.Config{
		Adapter: "exec:" + executable(t), Workers: 1,
		Logger: hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Debug}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	if err := sp.Call(t.Context(), "say", map[string]any{"value": "hello"}, nil); err != nil {
		t.Fatal(err)
	}
	missing := []string{"[DEBUG] worker: printed: hello", "[DEBUG] worker: complained: hello", "[WARN]  worker: logged: "}
	for len(missing) > 0 {
		select {
		case line := <-log:
			missing = slices.DeleteFunc(missing, func(want string) bool { return strings.Contains(line, want) })
		case <-time.After(20 * time.Second):
			t.Fatalf("the log has no line with %q", missing)
		}
	}
}

// lineWriter passes on what is logged, as far as somebody reads it.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	select {
	case w <- string(p):
	default:
	}
	return len(p), nil
}

func TestProgramThatIsNoWorkerFailsWithAHint(t *testing.T) {
	_, err := embed.Start(t.Context(), embed.Config{Adapter: "exec:true", Workers: 1})
	if errdefs.ReasonOf(err) != errdefs.StartFailed || !strings.Contains(err.Error(), "worker protocol") {
		t.Errorf("a pool of `true` gives %v", err)
	}
}

func pid(t *testing.T, sp *embed.Host) int {
	t.Helper()
	about, err := snakepit.Call[map[string]any](t.Context(), sp, "about", nil)
	if err != nil {
		t.Fatal(err)
	}
	n, ok := about["pid"].(int64)
	if !ok {
		t.Fatalf("pid is %T", about["pid"])
	}
	return int(n)
}
