package client

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	downFirst = 50 * time.Millisecond
	downMost  = time.Second
	// silenceMost is how long a node that has calls may be silent before it's asked
	// whether it lives, and how long it may take to say so.
	silenceMost = 500 * time.Millisecond
	// lookEvery is the time between two looks at who is silent.
	lookEvery = 100 * time.Millisecond
)

// target is one node of several.
type target struct {
	address string
	renew   func() (*grpc.ClientConn, error)

	mu       sync.Mutex // guards all below
	conn     *grpc.ClientConn
	closed   bool
	failures int
	downTill time.Time // it's asked last before
	open     int       // requests under way
	heardAt  time.Time // when it last answered, or had none
	probing  bool
}

func newTarget(address string, conn *grpc.ClientConn, renew func() (*grpc.ClientConn, error)) *target {
	return &target{address: address, conn: conn, renew: renew}
}

func (t *target) current() *grpc.ClientConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conn
}

// enter begins a request; leave ends it, and may be called again.
func (t *target) enter() (leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == 0 {
		t.heardAt = time.Now()
	}
	t.open++
	var once sync.Once
	return func() {
		once.Do(func() {
			t.mu.Lock()
			t.open--
			t.mu.Unlock()
		})
	}
}

// hear notes that it has answered.
func (t *target) hear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures, t.downTill, t.heardAt = 0, time.Time{}, time.Now()
}

// fail notes that it hasn't.
func (t *target) fail() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Before(t.downTill) {
		return // several requests failed at once
	}
	t.downTill = now.Add(min(downFirst<<min(t.failures, 8), downMost))
	t.failures++
}

// until is when it may be asked again as one that answers; now for one that does.
func (t *target) until(now time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.downTill.Before(now) {
		return now
	}
	return t.downTill
}

func (t *target) answers(now time.Time) bool { return !t.until(now).After(now) }

// silent reports whether it's time to ask it whether it lives; whoever asks then says
// probed.
func (t *target) silent(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.probing || t.open == 0 || now.Sub(t.heardAt) < silenceMost {
		return false
	}
	t.probing = true
	return true
}

// probe asks it whether it lives, and breaks the connection of one that doesn't say so:
// its requests end, and whoever comes next goes elsewhere.
func (t *target) probe(ctx context.Context) {
	conn := t.current()
	ctx, cancel := context.WithTimeout(ctx, silenceMost)
	defer cancel()
	_, err := snakepitv1.NewHostClient(conn).Ping(ctx, &snakepitv1.HostPingRequest{})
	t.mu.Lock()
	t.probing = false
	t.mu.Unlock()
	if ctx.Err() == nil || err == nil {
		t.hear() // also when it refused
		return
	}
	t.fail()
	t.replace(conn)
}

// replace gives up a connection for a new one.
func (t *target) replace(old *grpc.ClientConn) {
	next, err := t.renew()
	t.mu.Lock()
	if err != nil || t.closed || t.conn != old {
		t.mu.Unlock()
		if next != nil {
			_ = next.Close() // nobody used it
		}
		return
	}
	t.conn = next
	t.mu.Unlock()
	_ = old.Close() // it's given up
}

// given is the error of a request whose connection may have been given up under it:
// then it's the node that was lost, and not its caller who left.
func (t *target) given(ctx context.Context, conn *grpc.ClientConn, err error) error {
	if errdefs.ReasonOf(err) != errdefs.Cancelled || ctx.Err() != nil || !t.gave(conn) {
		return err
	}
	e := errdefs.New(errdefs.HostUnreachable, "node %s didn't answer for %s, and was given up", t.address, 2*silenceMost)
	e.MayHaveRun = errdefs.MayHaveRun(err)
	return e
}

// gave reports whether a connection was given up for another.
func (t *target) gave(conn *grpc.ClientConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conn != conn
}

func (t *target) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	return t.conn.Close()
}

// watch looks after those that are silent, until ctx ends.
func (f *fleet) watch(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var probes sync.WaitGroup
	defer probes.Wait()
	for {
		select {
		case now := <-ticker.C:
			f.mu.Lock()
			all := f.targets
			f.mu.Unlock()
			for _, t := range all {
				if t.silent(now) {
					probes.Go(func() { t.probe(ctx) })
				}
			}
		case <-ctx.Done():
			return
		}
	}
}
