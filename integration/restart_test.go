//go:build integration && linux

package integration_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// restarts is how many times in a row the host is killed; SNAKEPIT_TEST_RESTARTS says otherwise.
const restarts = 8

func restartsWanted(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SNAKEPIT_TEST_RESTARTS")
	if text == "" {
		return restarts
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SNAKEPIT_TEST_RESTARTS: %v", err)
	}
	return n
}

// door is the way to whichever host lives by now.
type door struct {
	mu      sync.Mutex // guards the fields below
	client  *client.Client
	changed chan struct{} // closed when another host is there
}

func newDoor(c *client.Client) *door { return &door{client: c, changed: make(chan struct{})} }

func (d *door) open() (c *client.Client, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.client, d.changed
}

func (d *door) lead(c *client.Client) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.changed)
	d.client, d.changed = c, make(chan struct{})
}

// diary is what one session's caller knows of what the worker must hold in memory.
type diary struct {
	session string
	worker  int         // its pid, from the first answer
	written []int       // answered
	cut     map[int]int // how often the call of an entry was cut off
	outages int
}

// keep writes one number after the other into the session's memory, one call at a
// time, until ctx ends. Each must be there once; one whose call was cut off, at most
// once more for each time.
func (d *diary) keep(ctx context.Context, door *door) error {
	for n := 1; ctx.Err() == nil; n++ {
		if err := d.write(ctx, door, n); err != nil {
			return fmt.Errorf("session %s, entry %d: %w", d.session, n, err)
		}
	}
	return nil
}

type notes struct {
	PID  int   `json:"pid"`
	Kept []int `json:"kept"`
}

func (d *diary) write(ctx context.Context, door *door, n int) error {
	opts := []snakepit.CallOption{snakepit.Session(d.session)}
	if d.worker != 0 {
		opts = append(opts, snakepit.MustExist())
	}
	for {
		c, changed := door.open()
		got, err := snakepit.Call[notes](context.WithoutCancel(ctx), c, "remember", map[string]any{"n": n}, opts...)
		if err == nil {
			return d.check(n, got)
		}
		if !passes(err) {
			return err
		}
		if errdefs.MayHaveRun(err) {
			d.cut[n]++
		}
		d.outages++
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// passes tells errors that come with a host's death from those that no caller may see.
func passes(err error) bool { return errdefs.ReasonOf(err) == errdefs.HostUnreachable }

// check compares what the worker holds with what was written.
func (d *diary) check(n int, got notes) error {
	if d.worker == 0 {
		d.worker = got.PID
	}
	if got.PID != d.worker {
		return fmt.Errorf("process %d answers, and %d has the memory", got.PID, d.worker)
	}
	d.written = append(d.written, n)
	kept := got.Kept
	for _, want := range d.written {
		times := 0
		for len(kept) > 0 && kept[0] == want {
			kept = kept[1:]
			times++
		}
		if times < 1 || times > 1+d.cut[want] {
			return fmt.Errorf("the worker holds %v: %d is there %d times, and was cut off %d times", got.Kept, want, times, d.cut[want])
		}
	}
	if len(kept) > 0 {
		return fmt.Errorf("the worker holds %v, which nobody wrote", kept)
	}
	return nil
}

// TestAHostKilledInARowGoesOnWithItsWorkers kills the host under load, over and over,
// and starts it again within the grace: the workers, and all that sessions hold in their
// memory, must be as if nothing had been.
func TestAHostKilledInARowGoesOnWithItsWorkers(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	serve := func() *server {
		return p.serve(t, p.adapter(t, "victims.py")+":Crowd", "--workers", "2", "--set", "orphan_grace=1m")
	}
	s := serve()
	door := newDoor(dial(t, s))
	var diaries []*diary
	for i := range 6 { // three at home in each worker, which has four slots: home is always free
		d := &diary{session: fmt.Sprintf("s-%d", i), cut: map[int]int{}}
		if err := d.write(t.Context(), door, 0); err != nil {
			t.Fatal(err)
		}
		diaries = append(diaries, d)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writing sync.WaitGroup
	for _, d := range diaries {
		writing.Go(func() {
			if err := d.keep(ctx, door); err != nil {
				t.Error(err)
			}
		})
	}

	workers := entryIDs(p.workers(t, 2))
	var took []time.Duration
	var before, after int
	n := restartsWanted(t)
	for i := range n {
		killed := time.Now()
		s.stop(t, unix.SIGKILL)
		s = serve()
		took = append(took, time.Since(killed))
		door.lead(dial(t, s))
		if now := entryIDs(p.workers(t, 2)); !slices.Equal(now, workers) {
			t.Fatalf("restart %d: the workers are %v, and were %v", i, now, workers)
		}
		after = p.descriptors(t, s)
		if i == 1 {
			before = after
		}
	}
	stop()
	writing.Wait()
	entries, outages := 0, 0
	for _, d := range diaries {
		entries += len(d.written)
		outages += d.outages
	}
	slices.Sort(took)
	t.Logf("%d restarts, from the kill to ready: median %s, slowest %s; %d entries in %d sessions, %d calls cut off; descriptors of shim and workers %d, then %d",
		n, took[n/2], took[n-1], entries, len(diaries), outages, before, after)
	eventually(t, fmt.Sprintf("shim and workers have %d descriptors, and had %d", p.descriptors(t, s), before), func() bool {
		return p.descriptors(t, s) <= before
	})
}

// descriptors counts those that shim and workers have open.
func (p *place) descriptors(t *testing.T, s *server) (n int) {
	t.Helper()
	for _, id := range append(entryIDs(p.workers(t, 2)), s.pair(t).Shim) {
		n += entries(t, filepath.Join("/proc", strconv.Itoa(id.PID), "fd"))
	}
	return n
}
