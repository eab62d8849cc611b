//go:build integration && linux

package integration_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/integration/census"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	// killBound is how long anything of ours may live after a death.
	killBound = time.Second
	// slack is how much longer a test on a busy machine waits.
	slack = 10
)

// killing is one row of the kill table: who dies, and how the host is set up.
type killing struct {
	victims            string // of "host shim guard"
	grace              time.Duration
	cgroups, isolation string
	crowd              bool // a worker of four slots, all taken; else one worker for each way to be busy
}

func (k killing) String() string {
	name := strings.ReplaceAll(k.victims, " ", "+")
	if k.grace > 0 {
		name += fmt.Sprintf(", grace %s", k.grace)
	}
	name += ", cgroups " + k.cgroups
	if k.isolation != "none" {
		name += ", " + k.isolation
	}
	return name
}

func (k killing) title() string {
	if k.crowd {
		return k.String() + ", thread pool full"
	}
	return k.String()
}

func (k killing) kills(who string) bool { return strings.Contains(k.victims, who) }

func killings() []killing {
	var all []killing
	for _, crowd := range []bool{false, true} {
		for _, cgroups := range []string{"auto", "off"} {
			for _, victims := range []string{"host", "shim", "guard", "shim guard", "host shim", "host guard", "host shim guard"} {
				all = append(all, killing{victims, 0, cgroups, "none", crowd})
			}
			all = append(all, killing{"host", 3 * time.Second, cgroups, "none", crowd})
		}
		all = append(all, killing{"host shim guard", 0, "off", "pidns", crowd})
	}
	return all
}

// TestNothingOutlivesAnyDeath kills whoever may be killed, while the workers do what
// is hardest to end, and waits for the end of every process that was there.
func TestNothingOutlivesAnyDeath(t *testing.T) {
	var times killTimes
	t.Run("rows", func(t *testing.T) {
		for _, k := range killings() {
			t.Run(k.title(), func(t *testing.T) {
				t.Parallel()
				if k.isolation == "pidns" && os.Getuid() != 0 {
					t.Skip("a PID namespace needs root")
				}
				newScene(t, k).play(t, &times)
			})
		}
	})
	t.Logf("milliseconds from the kill, grace left out, until the last process of each worker was gone:\n%s", times.table())
}

// killTimes are the measured times of all rows.
type killTimes struct {
	mu   sync.Mutex
	rows map[string]map[string]time.Duration
}

func (k *killTimes) note(row, column string, took time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rows == nil {
		k.rows = map[string]map[string]time.Duration{}
	}
	if k.rows[row] == nil {
		k.rows[row] = map[string]time.Duration{}
	}
	k.rows[row][column] = max(k.rows[row][column], took)
}

func (k *killTimes) table() string {
	columns := strings.Fields("idle sleep loop stuck brood full escaped keepers next-start answers healed")
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cells []string) {
		_, _ = w.Write([]byte(strings.Join(cells, "\t") + "\n")) // a strings.Builder takes everything
	}
	line(append([]string{"killed"}, columns...))
	for _, row := range slices.Sorted(maps.Keys(k.rows)) {
		cells := []string{row}
		for _, c := range columns {
			cell := "-"
			if took, ok := k.rows[row][c]; ok {
				cell = fmt.Sprintf("%.1f", float64(took.Microseconds())/1000)
			}
			cells = append(cells, cell)
		}
		line(cells)
	}
	_ = w.Flush() // as above
	return b.String()
}

// scene is a host whose workers are as busy as they can be.
type scene struct {
	killing

	place   *place
	server  *server
	client  *client.Client
	adapter string
	workers int
	doing   map[string]string // what the worker with a token does
	calls   sync.WaitGroup
	failed  chan error // how each call ended
}

func newScene(t *testing.T, k killing) *scene {
	t.Helper()
	s := &scene{killing: k, place: newPlace(t), workers: 5, doing: map[string]string{}, failed: make(chan error, 8)}
	s.adapter = s.place.adapter(t, "victims.py") + ":Victim"
	busy := []string{"sleep", "loop", "stuck", "brood"} // and one stays idle
	if k.crowd {
		s.adapter = strings.TrimSuffix(s.adapter, "Victim") + "Crowd"
		s.workers, busy = 1, []string{"sleep", "loop", "sleep", "sleep"}
	}
	s.server = s.serve(t)
	s.client = dial(t, s.server)
	s.occupy(t, busy)
	return s
}

func (s *scene) serve(t *testing.T) *server {
	t.Helper()
	return s.place.serve(t, s.adapter, "--workers", fmt.Sprint(s.workers), "--set", "orphan_grace="+s.grace.String(),
		"--set", "cgroups="+s.cgroups, "--set", "isolation="+s.isolation, "--set", "call_timeout=5m")
}

// dial connects to a server as a Go program would.
func dial(t *testing.T, s *server) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), socketOf(s.ready))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// occupy gives the workers something to do, and waits until they do it.
func (s *scene) occupy(t *testing.T, busy []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		s.calls.Wait()
	})
	for _, tool := range busy {
		s.calls.Go(func() { s.failed <- s.client.Call(ctx, tool, nil, nil) })
	}
	eventually(t, "the workers aren't busy", func() bool { return len(s.begun(t)) == len(busy) })
	for _, name := range s.begun(t) {
		parts := strings.Split(filepath.Base(name), "-")
		s.doing[parts[2]] = parts[1]
		if s.crowd {
			s.doing[parts[2]] = "full"
		}
	}
}

func (s *scene) begun(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.place.dir, "begun-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// column says under which heading a process is counted.
func (s *scene) column(e census.Entry) string {
	switch {
	case e.Token == "":
		return "keepers"
	case strings.HasPrefix(e.Command, "sleep "):
		return "escaped"
	case s.doing[e.Token] == "":
		return "idle"
	}
	return s.doing[e.Token]
}

// play kills, and sees to it that nothing is left.
func (s *scene) play(t *testing.T, times *killTimes) {
	t.Helper()
	before := s.cast(t)
	victims, rest := s.roles(t, before)
	host := s.server.id(t)
	watched := hold(t, entryIDs(rest)...)
	killers := hold(t, victims...)

	killed := time.Now()
	killers.Signal(unix.SIGKILL)
	ends := watched.Ended(s.grace + slack*killBound)
	for i, e := range rest {
		took := ends[i].Sub(killed) - s.grace
		if ends[i].IsZero() {
			t.Errorf("%s is alive after %s", e, s.grace+slack*killBound)
			continue
		}
		times.note(s.String(), s.column(e), took)
		if took < 0 {
			t.Errorf("it didn't wait for the grace: %s ended after %s", e, took+s.grace)
		}
	}
	switch {
	case !s.kills("host"):
		s.heals(t, killed, times)
	case s.kills("guard") && s.kills("shim"):
		s.server.stop(t, unix.SIGKILL) // reaps it
		s.startAgain(t, times)
	default:
		s.server.stop(t, unix.SIGKILL) // as above
	}
	for _, e := range s.place.census(t) {
		if e.ID != host && slices.ContainsFunc(before, func(b census.Entry) bool { return b.ID == e.ID }) {
			t.Errorf("it's still there: %s", e)
		}
	}
}

// cast lists everybody, once the escaped are what they'll be.
func (s *scene) cast(t *testing.T) (all []census.Entry) {
	t.Helper()
	want := 2
	if s.crowd {
		want = 0
	}
	eventually(t, "nobody has escaped", func() bool {
		all = s.place.census(t)
		return count(all, func(e census.Entry) bool { return s.column(e) == "escaped" }) == want
	})
	if n := count(all, func(e census.Entry) bool { return e.Token != "" }); n != s.workers+want {
		t.Fatalf("%d processes of workers, want %d: %v", n, s.workers+want, all)
	}
	return all
}

func count(entries []census.Entry, f func(census.Entry) bool) (n int) {
	for _, e := range entries {
		if f(e) {
			n++
		}
	}
	return n
}

// roles tells whom to kill, guard first and host last, and who has to end by that.
func (s *scene) roles(t *testing.T, all []census.Entry) (victims []proc.ID, rest []census.Entry) {
	t.Helper()
	pair := s.server.pair(t)
	roles := map[string]proc.ID{"guard": pair.Guard, "shim": pair.Shim, "host": s.server.id(t)}
	for _, who := range []string{"guard", "shim", "host"} {
		if s.kills(who) {
			victims = append(victims, roles[who])
		}
	}
	for _, e := range all {
		switch {
		case e.ID == roles["host"] || slices.Contains(victims, e.ID):
		case s.column(e) == "escaped" && s.victims == "host shim guard" && s.isolation == "none":
			// Nobody will be left that could end it; the next start does.
		default:
			rest = append(rest, e)
		}
	}
	return victims, rest
}

// startAgain starts a host on the same data directory, which leaves nothing of the last one.
func (s *scene) startAgain(t *testing.T, times *killTimes) {
	t.Helper()
	left := s.place.census(t)
	s.workers = 1
	begun := time.Now()
	s.server = s.serve(t)
	if len(left) > 0 {
		times.note(s.String(), "next-start", time.Since(begun))
	}
}

// heals waits until the host has brought a new pair and a whole pool.
func (s *scene) heals(t *testing.T, killed time.Time, times *killTimes) {
	t.Helper()
	s.calls.Wait()
	for len(s.failed) > 0 {
		if err := <-s.failed; errdefs.ReasonOf(err) != errdefs.WorkerCrashed || !errdefs.MayHaveRun(err) {
			t.Errorf("a call ended with %v, want worker_crashed that may have run", err)
		}
	}
	times.note(s.String(), "answers", answersAgain(t, s.client, killed))
	eventuallyWithin(t, time.Minute, "the pool isn't whole", func() bool {
		st, err := s.client.Status(t.Context())
		return err == nil && int(st.GetPools()[0].GetReady()) == s.workers
	})
	times.note(s.String(), "healed", time.Since(killed))
}

// answersAgain calls until a call succeeds, and returns how long after a death that was.
func answersAgain(t *testing.T, c *client.Client, since time.Time) time.Duration {
	t.Helper()
	var err error
	for time.Since(since) < time.Minute {
		if err = c.Call(t.Context(), "pid", nil, nil); err == nil {
			return time.Since(since)
		}
		if errors.Is(err, context.Canceled) {
			break
		}
	}
	t.Fatalf("no call succeeds: %v", err)
	return 0
}

// census lists every process that carries the place's folder.
func (p *place) census(t *testing.T) []census.Entry {
	t.Helper()
	found, err := census.Take(p.dir + string(filepath.Separator))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// pair finds the server's guard and shim.
func (s *server) pair(t *testing.T) census.Pair {
	t.Helper()
	pair, ok := census.PairIn(filepath.Dir(socketOf(s.ready)))
	if !ok {
		t.Fatal("no guard or no shim")
	}
	return pair
}

// id names the host's process.
func (s *server) id(t *testing.T) proc.ID {
	t.Helper()
	id, err := proc.Identify(s.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// hold pins processes for the length of a test.
func hold(t *testing.T, ids ...proc.ID) *census.Held {
	t.Helper()
	h, err := census.Hold(ids...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func entryIDs(entries []census.Entry) []proc.ID {
	var ids []proc.ID
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids
}
