//go:build integration && linux

package chaos_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/integration/census"
	"github.com/snakepit-go/snakepit/integration/program"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

const (
	// workers is the pool's size.
	workers = 2
	// patience ends what hangs.
	patience = time.Minute
	// bound is ten times what may pass from a death until nothing of it is left.
	bound = 10 * time.Second
)

// world is one user's account, with a host that may be dead.
type world struct {
	t       *testing.T
	dir     string
	env     []string
	adapter string

	host   *host // nil: dead
	door   *door
	guards map[int]bool // every guard there was
	starts int

	waiting []census.Entry // workers that wait for the next host

	log     []string // one line a fault
	tally   map[string]int
	gone    []time.Duration // from a death until nothing of it was left
	worst   string          // what took longest to be gone
	rounds  []time.Duration // from a fault until the pool was whole
	slowest string          // the longest of them
	back    []time.Duration // from a host's start until it was ready
}

// host is one run of the program.
type host struct {
	cmd    *exec.Cmd
	id     proc.ID
	grace  time.Duration
	ready  chan string // its line, then closed
	stderr *bytes.Buffer
	run    string // its folder; empty until it's ready
	pair   census.Pair
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp-") //nolint:usetesting // t.TempDir is too long for the sockets below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join("..", "testdata", "victims.py"))
	if err != nil {
		t.Fatal(err)
	}
	adapter := filepath.Join(dir, "victims.py")
	if err := os.WriteFile(adapter, source, 0o600); err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, dir: dir, adapter: adapter + ":Crowd", door: newDoor(), guards: map[int]bool{}, tally: map[string]int{},
		env: append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_RUNTIME_DIR="+dir, "TMPDIR="+tmp),
	}
}

// begin starts a host, and doesn't wait for it.
func (w *world) begin(grace time.Duration, cgroups string) *host {
	w.t.Helper()
	cmd := exec.Command(binary, "serve", "--adapter", w.adapter, "--workers", fmt.Sprint(workers), "--set", "python="+program.Python(w.t),
		"--set", "orphan_grace="+grace.String(), "--set", "cgroups="+cgroups, "--set", "probe_timeout=300ms", "--set", "call_timeout=30s")
	cmd.Env, cmd.Dir, cmd.WaitDelay = w.env, w.dir, time.Second
	h := &host{cmd: cmd, grace: grace, ready: make(chan string, 1), stderr: new(bytes.Buffer)}
	cmd.Stderr = h.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	if h.id, err = proc.Identify(cmd.Process.Pid); err != nil { // it isn't reaped yet
		w.t.Fatal(err)
	}
	w.starts++
	go func() {
		defer close(h.ready)
		r := bufio.NewReader(stdout)
		if line, err := r.ReadString('\n'); err == nil {
			h.ready <- line
		}
		_, _ = io.Copy(io.Discard, r) // nothing comes
	}()
	return h
}

// finish waits until a host is ready, and leads the callers to it.
func (w *world) finish(h *host) {
	w.t.Helper()
	begun := time.Now()
	var line string
	select {
	case line = <-h.ready:
	case <-time.After(patience):
	}
	_, rest, ok := strings.Cut(line, "socket=")
	if !ok {
		w.reap(h)
		w.t.Fatalf("the host doesn't get ready (%q):\n%s", line, h.stderr)
	}
	w.back = append(w.back, time.Since(begun))
	socket, _, _ := strings.Cut(rest, " ")
	h.run = filepath.Dir(socket)
	w.host = h
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, socket)
	if err != nil {
		w.t.Fatal(err)
	}
	w.door.lead(c)
	w.heal()
}

// heal waits until the pool is whole, and notes who keeps it.
func (w *world) heal() {
	w.t.Helper()
	c, _ := w.door.open()
	w.eventually("the pool isn't whole", func() bool {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		list, err := c.Workers(ctx, "")
		if err != nil {
			return false
		}
		ready := map[int]bool{}
		for _, worker := range list {
			ready[int(worker.GetPid())] = worker.GetState() == "ready"
		}
		pair, ok := census.PairIn(w.host.run)
		w.host.pair = pair
		live := w.workers()
		// The very ones, or the host doesn't know yet who is dead, or who has just been forked.
		return ok && len(live) == workers && !slices.ContainsFunc(live, func(e census.Entry) bool { return !ready[e.PID] })
	})
	w.guards[w.host.pair.Guard.PID] = true
}

// reap takes the exit of a host that was killed.
func (w *world) reap(h *host) {
	w.t.Helper()
	_ = h.cmd.Process.Kill() // it may be dead
	_ = h.cmd.Wait()         // says that it was killed
	if w.host == h {
		w.host = nil
	}
}

// eventually waits until f holds.
func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("after %s: %s\n%s", patience, what, w.everybody())
		}
	}
}

func (w *world) everybody() string {
	var b strings.Builder
	for _, e := range w.census() {
		b.WriteString(e.String() + "\n")
	}
	if w.host != nil {
		_, _ = fmt.Fprintf(&b, "the host says: %s\n", w.host.stderr)
	}
	return b.String()
}

// census lists whoever carries the world's folder.
func (w *world) census() []census.Entry {
	w.t.Helper()
	found, err := census.Take(w.dir + string(filepath.Separator))
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// workers are the live pair's.
func (w *world) workers() []census.Entry {
	w.t.Helper()
	return slices.DeleteFunc(w.census(), func(e census.Entry) bool {
		return e.PPID != w.host.pair.Shim.PID || e.Token == "" || !notEscaped(e)
	})
}

// hold pins processes; the caller closes it.
func (w *world) hold(entries []census.Entry) *census.Held {
	w.t.Helper()
	var ids []proc.ID
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	h, err := census.Hold(ids...)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// signal sends a signal to one process, if it still is that.
func (w *world) signal(id proc.ID, sig unix.Signal) { proc.Signal(id, sig) }

// expectEnd waits for the end of processes that a death has to end, and notes how long it took.
func (w *world) expectEnd(watched *census.Held, who []census.Entry, since time.Time, grace time.Duration) {
	w.t.Helper()
	defer watched.Close()
	var last time.Duration
	for i, end := range watched.Ended(grace + bound) {
		if end.IsZero() {
			w.t.Errorf("alive %s after the death of what it belonged to: %s", grace+bound, who[i])
			continue
		}
		last = max(last, end.Sub(since)-grace)
	}
	if len(w.gone) == 0 || last > slices.Max(w.gone) {
		w.worst = w.log[len(w.log)-1]
	}
	w.gone = append(w.gone, last)
}

func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func spread(all []time.Duration) string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, max %.1f ms of %d", ms(quantile(all, 0.5)), ms(quantile(all, 0.99)), ms(quantile(all, 1)), len(all))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func counts(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}

// dice are those of one fault: they don't depend on what the ones before have thrown.
func dice(fault int) *rand.Rand { return rand.New(rand.NewPCG(*seed, uint64(fault))) }
