//go:build integration && linux

package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/integration/census"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

// fault is one thing that goes wrong.
type fault struct {
	name   string
	weight int
	strike func(w *world, r *rand.Rand)
}

func table() []fault {
	kill := func(victims ...string) func(*world, *rand.Rand) {
		return func(w *world, r *rand.Rand) { w.killKeepers(r, victims) }
	}
	return []fault{
		{"worker SIGKILL", 12, func(w *world, r *rand.Rand) { w.killWorker(r, unix.SIGKILL) }},
		{"worker SIGSEGV", 4, func(w *world, r *rand.Rand) { w.killWorker(r, unix.SIGSEGV) }},
		{"worker SIGSTOP", 6, func(w *world, r *rand.Rand) { w.killWorker(r, unix.SIGSTOP) }},
		{"worker SIGSTOP, SIGCONT", 6, (*world).pauseWorker},
		{"host SIGSTOP, SIGCONT", 6, (*world).pauseHost},
		{"host SIGTERM", 6, (*world).endHost},
		{"host SIGKILL", 18, kill("host")},
		{"shim SIGKILL", 9, kill("shim")},
		{"guard SIGKILL", 9, kill("guard")},
		{"shim+guard SIGKILL", 5, kill("guard", "shim")},
		{"host+shim SIGKILL", 7, kill("shim", "host")},
		{"host+guard SIGKILL", 7, kill("guard", "host")},
		{"host+shim+guard SIGKILL", 7, kill("guard", "shim", "host")},
		{"start SIGKILL", 8, (*world).killStart},
	}
}

func draw(r *rand.Rand) fault {
	all := table()
	sum := 0
	for _, f := range all {
		sum += f.weight
	}
	n := r.IntN(sum)
	for _, f := range all {
		if n -= f.weight; n < 0 {
			return f
		}
	}
	return all[0]
}

// suffer lets one fault happen, and brings everything back to a whole pool.
func (w *world) suffer(i int) {
	w.t.Helper()
	r := dice(i)
	f := draw(r)
	tool := []string{"", "", "sleep", "loop", "stuck", "brood"}[r.IntN(6)]
	w.log = append(w.log, fmt.Sprintf("%d: %s while %q", i, f.name, tool))
	w.tally[f.name]++
	rest := w.occupy(tool)
	stuck := w.stuck(tool)
	w.waiting = nil
	f.strike(w, r)
	rest()
	if w.host != nil {
		w.awaitEnd(stuck)
		w.heal()
		return
	}
	w.finish(w.begin(w.throwSettings(r)))
	if tool == "" { // else one of them is killed for its call
		w.wantSame(w.waiting)
	}
}

// stuck gives the token of the worker that runs a tool which nothing but its end stops;
// empty: none does.
func (w *world) stuck(tool string) string {
	begun := w.begun()
	if tool != "stuck" || len(begun) == 0 {
		return ""
	}
	return strings.Split(filepath.Base(begun[0]), "-")[2]
}

// awaitEnd waits until a worker is killed for its call. The caller is free before that,
// and the pool looks whole: the next fault would strike what is about to end.
func (w *world) awaitEnd(token string) {
	w.t.Helper()
	if token == "" {
		return
	}
	w.eventually("a worker that is stuck lives on", func() bool {
		return !slices.ContainsFunc(w.workers(), func(e census.Entry) bool { return e.Token == token })
	})
}

// wantSame checks that workers that waited for a host have gone on.
func (w *world) wantSame(before []census.Entry) {
	w.t.Helper()
	now := w.workers()
	for _, b := range before {
		if !slices.ContainsFunc(now, func(e census.Entry) bool { return e.ID == b.ID }) {
			w.t.Errorf("a host came back within the grace, and this worker is gone: %s\n%s", b, w.everybody())
		}
	}
}

// throwSettings chooses how the next host is set up.
func (w *world) throwSettings(r *rand.Rand) (grace time.Duration, cgroups string) {
	return []time.Duration{0, time.Minute}[r.IntN(2)], []string{"auto", "off"}[r.IntN(2)]
}

// occupy has a worker do something that is hard to end. The returned function gives up the call.
func (w *world) occupy(tool string) (rest func()) {
	w.t.Helper()
	if tool == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	c, _ := w.door.open()
	ended := make(chan struct{})
	call := func(done chan struct{}) {
		defer close(done)
		_ = c.Call(ctx, tool, nil, nil) // it never ends well
	}
	go call(ended)
	w.eventually("the tool doesn't run", func() bool {
		select {
		case <-ended: // the last fault's victim took it along
			w.forgetBegun()
			ended = make(chan struct{})
			go call(ended)
		default:
		}
		return w.runs(tool)
	})
	return func() {
		cancel()
		<-ended
		w.forgetBegun()
	}
}

// runs reports whether a tool has begun, and whom it has started is what it'll be.
func (w *world) runs(tool string) bool {
	begun := w.begun()
	if len(begun) == 0 || tool != "brood" {
		return len(begun) > 0
	}
	token := strings.Split(filepath.Base(begun[0]), "-")[2]
	escaped := slices.DeleteFunc(w.census(), func(e census.Entry) bool { return notEscaped(e) || e.Token != token })
	return len(escaped) >= 2 // an earlier host's call may have left some in the same worker
}

func (w *world) forgetBegun() {
	for _, file := range w.begun() {
		_ = os.Remove(file) // it's there
	}
}

func (w *world) begun() []string {
	found, _ := filepath.Glob(filepath.Join(w.dir, "begun-*")) // the pattern is right
	return found
}

// notEscaped tells the grandchildren that have left their worker from all others.
func notEscaped(e census.Entry) bool { return !strings.HasPrefix(e.Command, "sleep ") }

// workerOf chooses a live worker.
func (w *world) workerOf(r *rand.Rand) census.Entry {
	w.t.Helper()
	all := w.workers()
	if len(all) == 0 {
		w.t.Fatalf("no workers:\n%s", w.everybody())
	}
	return all[r.IntN(len(all))]
}

func (w *world) killWorker(r *rand.Rand, sig unix.Signal) {
	w.t.Helper()
	victim := w.workerOf(r)
	own := slices.DeleteFunc(w.census(), func(e census.Entry) bool { return e.Token != victim.Token })
	watched := w.hold(own)
	since := time.Now()
	w.signal(victim.ID, sig)
	grace := time.Duration(0)
	if sig == unix.SIGSTOP {
		grace = 300 * time.Millisecond // probe_timeout
	}
	w.expectEnd(watched, own, since, grace)
}

// pauseWorker stops a worker, and lets it go on, which may be too late for it.
func (w *world) pauseWorker(r *rand.Rand) {
	w.t.Helper()
	victim := w.workerOf(r)
	w.signal(victim.ID, unix.SIGSTOP)
	<-time.After(time.Duration(r.IntN(400)) * time.Millisecond)
	w.signal(victim.ID, unix.SIGCONT)
}

// pauseHost stops the host; with no lease that harms nobody.
func (w *world) pauseHost(r *rand.Rand) {
	w.t.Helper()
	w.signal(w.host.id, unix.SIGSTOP)
	<-time.After(time.Duration(r.IntN(500)) * time.Millisecond)
	if r.IntN(3) == 0 { // meanwhile the pair loses one
		w.signal([]proc.ID{w.host.pair.Guard, w.host.pair.Shim}[r.IntN(2)], unix.SIGKILL)
	}
	w.signal(w.host.id, unix.SIGCONT)
}

// endHost asks the host to end, twice where it has reason to wait.
func (w *world) endHost(*rand.Rand) {
	w.t.Helper()
	all := w.census()
	watched := w.hold(all)
	since := time.Now()
	w.signal(w.host.id, unix.SIGTERM)
	if len(w.begun()) > 0 {
		c, _ := w.door.open()
		w.eventually("the host doesn't drain", func() bool {
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
			defer cancel()
			return c.Call(ctx, "pid", nil, nil) != nil
		})
		since = time.Now()
		w.signal(w.host.id, unix.SIGTERM)
	}
	go func(cmd func() error) { _ = cmd() }(w.host.cmd.Wait) // reaps it
	w.expectEnd(watched, all, since, 0)
	w.host = nil
}

// killKeepers kills of host, shim and guard those that are named, in this order.
func (w *world) killKeepers(r *rand.Rand, victims []string) {
	w.t.Helper()
	h := w.host
	roles := map[string]proc.ID{"guard": h.pair.Guard, "shim": h.pair.Shim, "host": h.id}
	hostDies := slices.Contains(victims, "host")
	ids := make([]proc.ID, 0, len(victims))
	for _, v := range victims {
		ids = append(ids, roles[v])
	}
	r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	all := w.census()
	wait := hostDies && len(victims) == 1 && h.grace > 0
	if wait {
		w.waiting = w.workers()
	}
	allDie := len(victims) == 3
	doomed := slices.DeleteFunc(all, func(e census.Entry) bool {
		return e.ID == h.id || wait || allDie && !notEscaped(e) // nobody is left to end those who escaped
	})
	watched := w.hold(doomed)
	killers, err := census.Hold(ids...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer killers.Close()
	since := time.Now()
	killers.Signal(unix.SIGKILL)
	w.expectEnd(watched, doomed, since, 0)
	if hostDies {
		w.reap(h)
	}
}

// killStart ends the host and kills the next one at some step of its start, with or
// without its pair.
func (w *world) killStart(r *rand.Rand) {
	w.t.Helper()
	w.killKeepers(r, []string{"host"})
	waiting := w.census() // for a host; the one to come may not get as far as them, or be their end
	w.waiting = nil
	h := w.begin(0, "auto")
	reached := []func([]census.Entry) bool{
		func(all []census.Entry) bool { return len(all) > 0 },
		func(all []census.Entry) bool { return named(all, "snakepit-guard ") },
		func(all []census.Entry) bool { return named(all, "snakepit-shim ") },
		func(all []census.Entry) bool {
			return slices.ContainsFunc(all, func(e census.Entry) bool { return e.Token != "" })
		},
	}[r.IntN(4)]
	w.eventually("the start doesn't get there", func() bool { return reached(w.census()) })
	w.signal(h.id, unix.SIGKILL)
	for _, e := range w.census() {
		if strings.HasPrefix(e.Command, "snakepit-") && r.IntN(3) == 0 {
			w.signal(e.ID, unix.SIGKILL)
		}
	}
	since := time.Now()
	left := slices.DeleteFunc(w.census(), func(e census.Entry) bool {
		return e.ID == h.id || slices.ContainsFunc(waiting, func(other census.Entry) bool { return other.ID == e.ID })
	})
	w.expectEnd(w.hold(left), left, since, 0)
	w.reap(h)
}

func named(all []census.Entry, prefix string) bool {
	return slices.ContainsFunc(all, func(e census.Entry) bool { return strings.HasPrefix(e.Command, prefix) })
}
