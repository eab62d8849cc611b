//go:build linux

package plugin

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
)

// learning is an adapter whose import takes long and much memory.
const learning = `
import os
from sklearn.linear_model import LogisticRegression
from snakepit import tool

imported = os.getpid()

@tool
def forked() -> bool:
    return os.getpid() != imported
`

// TestCostOfForkedWorkers prints what forking saves; the bounds are ten times those that are stated.
func TestCostOfForkedWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	if err := exec.Command(Interpreter(t), "-c", "import sklearn").Run(); err != nil {
		t.Skip("scikit-learn isn't installed: pip install -r examples/digits/requirements.txt")
	}
	h := newTestHost(t, commandOf(t, learning))
	l, lines := h.comeBack(t)
	executed := ready(t, l, h, 3, false)
	first := ready(t, l, h, 1, true)
	t.Logf("ready, executed: %s; the first forked one, with the import: %s", executed.times, first.times)
	forked := ready(t, l, h, 8, true)
	t.Logf("ready, forked from a warm forkserver: %s", forked.times)
	begun := time.Now()
	many := readyAtOnce(t, l, h, 50)
	took := time.Since(begun)
	t.Logf("50 at once, each having answered its first call: %s", took)
	if strings.Contains(lines.String(), "can't be forked") || strings.Contains(lines.String(), "is executed") {
		t.Fatalf("not all were forked:\n%s", lines)
	}
	pss, exec := medianPSS(t, many), medianPSS(t, executed.workers)
	t.Logf("PSS: %d KiB forked, %d KiB executed: %.2f", pss, exec, float64(pss)/float64(exec))
	replaced := replace(t, l, h, many[:8])
	t.Logf("replaced after a SIGKILL: %s", replaced)
	if median(forked.times) > 250*time.Millisecond || took > 20*time.Second || median(replaced) > time.Second {
		t.Error("that's ten times slower than it may be")
	}
	if float64(pss) > 0.3*float64(exec) {
		t.Errorf("a forked worker takes %d KiB of %d", pss, exec)
	}
}

type readied struct {
	workers []host.Worker
	times   []time.Duration
}

// ready starts workers one after the other, each with its first call.
func ready(t *testing.T, l *Launcher, h testHost, n int, fork bool) readied {
	t.Helper()
	var r readied
	for range n {
		begun := time.Now()
		r.workers = append(r.workers, oneReady(t, l, h, fork))
		r.times = append(r.times, time.Since(begun).Round(100*time.Microsecond))
	}
	return r
}

func oneReady(t *testing.T, l *Launcher, h testHost, fork bool) host.Worker {
	t.Helper()
	s := h.spec(host.WorkerID("default-" + randomHex(4)))
	s.Settings.Fork = fork
	w, err := l.Launch(t.Context(), s, toolless{})
	if err != nil {
		t.Error(err)
		return nil
	}
	if got, err := callTool(t.Context(), w, "forked"); err != nil || got != fork {
		t.Errorf("forked = %v, %v; want %v", got, err, fork)
	}
	return w
}

func readyAtOnce(t *testing.T, l *Launcher, h testHost, n int) []host.Worker {
	t.Helper()
	workers := make([]host.Worker, n)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() { workers[i] = oneReady(t, l, h, true) })
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return workers
}

// replace kills workers, and says how long it takes until another has answered a call.
func replace(t *testing.T, l *Launcher, h testHost, workers []host.Worker) []time.Duration {
	t.Helper()
	var times []time.Duration
	for _, w := range workers {
		begun := time.Now()
		if err := syscall.Kill(w.Description().Process.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-w.Done()
		oneReady(t, l, h, true)
		times = append(times, time.Since(begun).Round(100*time.Microsecond))
	}
	return times
}

func median[T int | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func medianPSS(t *testing.T, workers []host.Worker) int {
	t.Helper()
	var all []int
	for _, w := range workers {
		all = append(all, pssOf(t, w.Description().Process.PID))
	}
	return median(all)
}

// pssOf is a process's share of the memory that it's in, in KiB.
func pssOf(t *testing.T, pid int) (pss int) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if n, _ := fmt.Sscanf(sc.Text(), "Pss: %d kB", &pss); n == 1 {
			return pss
		}
	}
	t.Fatal("no PSS")
	return 0
}
