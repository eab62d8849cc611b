//go:build integration && linux

package integration_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/integration/program"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// embedded starts a host in this process, for what only its inside can show.
func embedded(t *testing.T, set ...string) *embed.Host {
	t.Helper()
	p := newPlace(t)
	sp, err := embed.Start(t.Context(), embed.Config{
		Adapter: p.adapter(t, "load.py") + ":Load", Workers: 2, Set: append([]string{"python=" + program.Python(t)}, set...),
	})
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

// footprint is what must not grow with the number of calls.
type footprint struct {
	goroutines, descriptors, processes int
	workerDescriptors, workerThreads   int
}

func footprintOf(t *testing.T, sp *embed.Host) footprint {
	t.Helper()
	f := footprint{goroutines: runtime.NumGoroutine(), descriptors: entries(t, "/proc/self/fd"), processes: len(children(t))}
	for _, w := range sp.Workers("") {
		dir := filepath.Join("/proc", strconv.Itoa(w.Process.PID))
		f.workerDescriptors += entries(t, filepath.Join(dir, "fd"))
		f.workerThreads += entries(t, filepath.Join(dir, "task"))
	}
	return f
}

func entries(t *testing.T, dir string) int {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// children are the processes whose parent is this one.
func children(t *testing.T) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var mine []string
	for _, stat := range stats {
		b, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			mine = append(mine, stat)
		}
	}
	return mine
}

// load makes calls from a number of goroutines and counts the wrong answers.
func load(t *testing.T, sp snakepit.Caller, callers, calls int) {
	t.Helper()
	var wrong, next atomic.Int64
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for i := next.Add(1); i <= int64(calls); i = next.Add(1) {
				want := fmt.Sprintf("call %d", i)
				got, err := snakepit.Call[string](t.Context(), sp, "echo", map[string]any{"value": want})
				if err != nil || got != want {
					wrong.Add(1)
				}
			}
		})
	}
	group.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of %d answers are wrong", n, calls)
	}
}

// settle waits until the footprint is no larger than a wanted one; what a call
// leaves for a moment, like a timer's goroutine, may go first.
func settle(t *testing.T, sp *embed.Host, want footprint) footprint {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		got := footprintOf(t, sp)
		within := got.goroutines <= want.goroutines && got.descriptors <= want.descriptors && got.processes <= want.processes &&
			got.workerDescriptors <= want.workerDescriptors && got.workerThreads <= want.workerThreads
		if within || time.Now().After(deadline) {
			return got
		}
		runtime.Gosched()
	}
}

func TestTenThousandCallsLeaveNothingMoreThanTheWarmUp(t *testing.T) {
	sp := embedded(t)
	load(t, sp, 64, 1000)
	before := footprintOf(t, sp)
	begun := time.Now()
	load(t, sp, 64, 10_000)
	took := time.Since(begun)
	after := settle(t, sp, before)
	t.Logf("10,000 calls from 64 goroutines in %s (%.0f/s); before %+v, after %+v", took.Round(time.Millisecond), 10_000/took.Seconds(), before, after)
	if after.goroutines > before.goroutines || after.descriptors > before.descriptors || after.processes > before.processes {
		t.Errorf("the host has grown from %+v to %+v", before, after)
	}
	if after.workerDescriptors > before.workerDescriptors || after.workerThreads > before.workerThreads {
		t.Errorf("the workers have grown from %+v to %+v", before, after)
	}
}

// resident is a process's resident memory in MiB.
func resident(t *testing.T, pid int) float64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}

// TestAStreamToASlowReaderStaysFlat reads 100,000 chunks in bursts, so that the
// tool is always ahead and always held back, and watches both memories over the
// last nine tenths.
func TestAStreamToASlowReaderStaysFlat(t *testing.T) {
	sp := embedded(t, "call_timeout=10m")
	const chunks, perChunk = 100_000, 1000
	worker := func() (rss float64) {
		for _, w := range sp.Workers("") {
			rss += resident(t, w.Process.PID)
		}
		return rss
	}
	var hostAt, workerAt, hostMax, workerMax float64
	n := 0
	for chunk, err := range sp.Stream(t.Context(), "chunks", map[string]any{"n": chunks, "size": perChunk}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%1000 == 0 {
			runtime.GC() // slow, and it shows what is held instead of what is garbage
			if n == chunks/10 {
				hostAt, workerAt = resident(t, os.Getpid()), worker()
			}
			hostMax, workerMax = max(hostMax, resident(t, os.Getpid())), max(workerMax, worker())
		}
		if len(chunk.Raw()) < perChunk {
			t.Fatalf("chunk %d has %d bytes", n, len(chunk.Raw()))
		}
	}
	if n != chunks {
		t.Errorf("%d chunks came, want %d", n, chunks)
	}
	t.Logf("resident MiB at a tenth and at most: host %.1f, %.1f; workers %.1f, %.1f", hostAt, hostMax, workerAt, workerMax)
	// Everything would be 95 MiB; what may lie between the two sides is 1 MiB.
	if grown := workerMax - workerAt; grown > 8 {
		t.Errorf("the workers grew by %.1f MiB", grown)
	}
	if grown := hostMax - hostAt; grown > 24 { // under -race a goroutine's shadow counts several times
		t.Errorf("the host grew by %.1f MiB", grown)
	}
}

func TestAConsumerThatNeverReadsHoldsTheToolBack(t *testing.T) {
	sp := embedded(t, "call_timeout=1m")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next, err := pull(ctx, sp, "chunks", map[string]any{"n": 1_000_000, "size": 10_000})
	if err != nil {
		t.Fatal(err)
	}
	var before, written int
	for range 200 { // the tool says on another call how far it is; it stands still once the window is full
		if err := sp.Call(ctx, "written", nil, &written, snakepit.Session("other")); err != nil {
			t.Fatal(err)
		}
		if written == before && written > 0 {
			break
		}
		before = written
	}
	if written > 1000 {
		t.Errorf("the tool has written %d chunks of 10 kB to a reader that took one", written)
	}
	next()
}

// pull takes one chunk of a stream and leaves it open until the returned function is called.
func pull(ctx context.Context, sp snakepit.Caller, tool string, args any) (stop func(), err error) {
	got := make(chan error, 1)
	release := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, err := range sp.Stream(ctx, tool, args) {
			got <- err
			<-release
			return
		}
	}()
	return func() { close(release); <-done }, <-got
}

func TestPayloadsOfEverySizeComeBackWhole(t *testing.T) {
	for _, carrier := range []string{"local", "grpc"} {
		t.Run(carrier, func(t *testing.T) {
			sp := embedded(t, "lane="+carrier)
			for _, size := range []int{0, 1, 100, 64 << 10, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1 << 20, 64 << 20} {
				want := strings.Repeat("s", size)
				got, err := snakepit.Call[[]byte](t.Context(), sp, "echo", map[string]any{"value": []byte(want)})
				if err != nil || string(got) != want {
					t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
				}
			}
		})
	}
}

func TestACancelledLoopFreesItsCallerAtOnceAndItsWorkerWithinASecond(t *testing.T) {
	for _, tool := range []string{"spin", "stubborn"} {
		t.Run(tool, func(t *testing.T) {
			sp := embedded(t)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- sp.Call(ctx, tool, nil, nil) }()
			for busy := 0; busy == 0; {
				for _, w := range sp.Workers("") {
					busy += w.Busy
				}
			}
			cancelled := time.Now()
			cancel()
			err := <-ended
			free := time.Since(cancelled)
			if errdefs.ReasonOf(err) != errdefs.Cancelled || !errdefs.MayHaveRun(err) {
				t.Errorf("the call ended with %v, want cancelled that may have run", err)
			}
			for sp.Status().Pools[0].Ready < 2 || sp.Status().Pools[0].Busy > 0 {
				if time.Since(cancelled) > 20*time.Second {
					t.Fatalf("the pool isn't whole again: %+v", sp.Status().Pools[0])
				}
				runtime.Gosched()
			}
			whole := time.Since(cancelled)
			t.Logf("%s: caller free after %s, pool whole after %s, %d replaced", tool, free, whole, sp.Status().Pools[0].Replaced)
			if free > time.Second || whole > 10*time.Second { // ten times what is stated
				t.Errorf("caller free after %s, pool whole after %s; 50 ms and 1 s are stated", free, whole)
			}
			load(t, sp, 4, 100)
		})
	}
}

func TestToolsThatTryToEndTheirWorkerAreErrorsOfTheCall(t *testing.T) {
	sp := embedded(t)
	pids := func() string {
		var all []string
		for _, w := range sp.Workers("") {
			all = append(all, strconv.Itoa(w.Process.PID))
		}
		return strings.Join(all, " ")
	}
	before := pids()
	for _, tool := range []string{"exit", "interrupt", "shout"} {
		err := sp.Call(t.Context(), tool, nil, nil)
		if want := map[string]errdefs.Reason{"exit": errdefs.PythonException, "interrupt": errdefs.PythonException}[tool]; errdefs.ReasonOf(err) != want {
			t.Errorf("%s: %v, want %q", tool, err, want)
		}
	}
	if now := pids(); now != before {
		t.Errorf("the workers are %s, and were %s", now, before)
	}
	for tool, want := range map[string]string{"quit": "exit code 5", "segfault": "SIGSEGV"} {
		err := sp.Call(t.Context(), tool, nil, nil)
		if errdefs.ReasonOf(err) != errdefs.WorkerCrashed || !strings.Contains(err.Error(), want) || !errdefs.MayHaveRun(err) {
			t.Errorf("%s: %v, want worker_crashed with %s, that may have run", tool, err, want)
		}
	}
	load(t, sp, 8, 200) // the dead are replaced
}

func TestResultsThatCannotBeEncodedAreMarkersOrErrors(t *testing.T) {
	var out any
	if err := embedded(t).Call(t.Context(), "odd", nil, &out); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", out); !strings.Contains(text, "Odd") {
		t.Errorf("the marker is %s, want one that names the type", text)
	}
	err := embedded(t, "strict_results=true").Call(t.Context(), "odd", nil, &out)
	if errdefs.ReasonOf(err) != errdefs.InvalidResult || !strings.Contains(err.Error()+pathOf(err), "inner") {
		t.Errorf("under strict_results: %v, want invalid_result with the path", err)
	}
}

func pathOf(err error) string {
	if e := errdefs.Of(err); e != nil {
		return " " + e.Path
	}
	return ""
}

func TestADeadlineThatHasPassedNeverReachesTheTool(t *testing.T) {
	sp := embedded(t)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	err := sp.Call(ctx, "echo", map[string]any{"value": 1}, nil)
	if errdefs.ReasonOf(err) != errdefs.Deadline || errdefs.MayHaveRun(err) {
		t.Errorf("a call whose time was over: %v, want deadline that can't have run", err)
	}
}
