//go:build integration && linux

package chaos_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// door is the way to whichever host lives by now.
type door struct {
	mu      sync.Mutex // guards the fields below
	client  *client.Client
	changed chan struct{} // closed when another host is there
}

func newDoor() *door { return &door{changed: make(chan struct{})} }

func (d *door) open() (c *client.Client, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.client, d.changed
}

// lead shows the way to another host; the connection to the last one ends.
func (d *door) lead(c *client.Client) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.client != nil {
		_ = d.client.Close() // its host is dead
	}
	close(d.changed)
	d.client, d.changed = c, make(chan struct{})
}

// callers call all the time, and remember what they were told.
type callers struct {
	door *door
	wg   sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	reasons map[string]int
	wrong   []string
}

// callBound is above what any call may take: its deadline is 30 s.
const callBound = 45 * time.Second

func startCallers(ctx context.Context, d *door) *callers {
	c := &callers{door: d, reasons: map[string]int{}}
	for i := range 3 {
		c.wg.Go(func() { c.call(ctx, fmt.Sprintf("s-%d", i)) })
	}
	c.wg.Go(func() { c.call(ctx, "") })
	return c
}

// call calls one after the other until ctx ends. A process's memory of a session
// only ever grows.
func (c *callers) call(ctx context.Context, session string) {
	seen := map[int]int{} // by process, how often it has served us
	for ctx.Err() == nil {
		sp, changed := c.door.open()
		var opts []snakepit.CallOption
		if session != "" {
			opts = append(opts, snakepit.Session(session))
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), callBound)
		got, err := snakepit.Call[[2]int](bounded, sp, "count", nil, opts...)
		hung := bounded.Err() != nil
		cancel()
		c.note(session, err, hung)
		if err == nil && session != "" {
			if got[1] <= seen[got[0]] {
				c.complain("session %s: process %d served it %d times, and now says %d", session, got[0], seen[got[0]], got[1])
			}
			seen[got[0]] = got[1]
		}
		if errdefs.ReasonOf(err) == errdefs.HostUnreachable {
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

// explained are the errors that a death explains.
func explained() []errdefs.Reason {
	return []errdefs.Reason{
		errdefs.HostUnreachable, errdefs.WorkerCrashed, errdefs.WorkerHung, errdefs.Draining, errdefs.PoolStarting,
		errdefs.QueueTimeout, errdefs.NoWorkers, errdefs.Cancelled,
	}
}

// note counts an outcome. No other errors may be seen.
func (c *callers) note(session string, err error, hung bool) {
	reason := errdefs.ReasonOf(err)
	c.mu.Lock()
	c.reasons[string(reason)]++
	c.mu.Unlock()
	if reason == "" && err != nil || reason != "" && !slices.Contains(explained(), reason) {
		c.complain("session %q: %v", session, err)
	}
	if hung {
		c.complain("session %q: a call didn't end within %s: %v", session, callBound, err)
	}
}

func (c *callers) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.wrong) < 20 {
		c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
	}
}
