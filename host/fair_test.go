package host_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// starts is the order in which calls reach workers, by their payloads.
type starts struct {
	mu    sync.Mutex // guards all below
	order []string
}

func (s *starts) hook(l *hosttest.Launcher) {
	l.OnStart = func(_ *hosttest.Worker, inv host.Invocation) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.order = append(s.order, string(inv.Payload))
		return nil
	}
}

func (s *starts) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// count says how many of the calls that have started have this payload.
func (s *starts) count(payload string) (n int) {
	for _, p := range s.all() {
		if p == payload {
			n++
		}
	}
	return n
}

// quick is a pool of a 10 ms tool; beyond that, change alters it.
func quick(s *starts, change func(*host.PoolConfig)) func(*host.Config, *hosttest.Launcher) {
	return func(c *host.Config, l *hosttest.Launcher) {
		l.Tools = append(l.Tools, hosttest.Tool{Tool: host.Tool{Name: "quick"}, Run: takes(10 * time.Millisecond)})
		c.Pools[0].QueueTimeout = time.Minute
		if change != nil {
			change(&c.Pools[0])
		}
		s.hook(l)
	}
}

// TestFloodDelaysLightCallersByOneCallASlot has a caller with 64 calls under way
// beside nine that make one after the other, on two slots.
func TestFloodDelaysLightCallersByOneCallASlot(t *testing.T) {
	for name, flood := range map[string]*host.Request{
		"caller":             {Tool: "quick", Payload: []byte("flood"), Caller: "flood"},
		"concurrent session": {Tool: "quick", Payload: []byte("flood"), Session: "flood", Concurrent: true},
	} {
		t.Run(name, func(t *testing.T) {
			alone, _ := lightLatency(t, nil)
			beside, ahead := lightLatency(t, flood)
			if ahead > 2 {
				t.Errorf("%d calls of the flood went before a light one that waited, want at most one a slot", ahead)
			}
			if beside > 2*alone {
				t.Errorf("a light call takes up to %s beside the flood, and %s without", beside, alone)
			}
			t.Logf("slowest light call: %s alone, %s beside the flood", alone, beside)
		})
	}
}

// lightLatency gives the longest that a light call took, and how many calls of the
// flood were started while one of them waited, at most.
func lightLatency(t *testing.T, flood *host.Request) (longest time.Duration, ahead int) {
	t.Helper()
	var s starts
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, quick(&s, nil))
		if err := r.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var all sync.WaitGroup
		until := time.Now().Add(2 * time.Second)
		loop := func(req host.Request, light bool) {
			for time.Now().Before(until) {
				before, t0 := s.count("flood"), time.Now()
				if _, err := r.do(t.Context(), req); err != nil {
					t.Error(err)
				}
				mu.Lock()
				if light {
					longest = max(longest, time.Since(t0))
					// Its own run isn't waiting: what started in those 10 ms doesn't count.
					ahead = max(ahead, s.before(string(req.Payload))-before)
				}
				mu.Unlock()
			}
		}
		for i := range 9 {
			name := fmt.Sprint("light", i)
			all.Go(func() { loop(host.Request{Tool: "quick", Payload: []byte(name), Caller: name}, true) })
		}
		for range 64 {
			if flood != nil {
				all.Go(func() { loop(*flood, false) })
			}
		}
		all.Wait()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return longest, ahead
}

// before counts the calls of the flood that started before the last one with this payload.
func (s *starts) before(payload string) (n int) {
	order := s.all()
	for i, p := range slices.Backward(order) {
		if p == payload {
			order = order[:i]
			break
		}
	}
	for _, p := range order {
		if p == "flood" {
			n++
		}
	}
	return n
}

// queued fills the only slot, has the requests wait in this order, and gives the
// order in which they started.
func queued(t *testing.T, change func(*host.PoolConfig), requests ...host.Request) []string {
	t.Helper()
	var s starts
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, quick(&s, func(c *host.PoolConfig) {
			c.Size = 1
			if change != nil {
				change(c)
			}
		}))
		all := []<-chan error{r.start(t.Context(), host.Request{Tool: "work", Payload: []byte("first")})}
		for _, req := range requests {
			req.Tool = "quick"
			all = append(all, r.start(t.Context(), req))
		}
		for _, done := range all {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return s.all()[1:]
}

func by(caller string, n int) []host.Request {
	return slices.Repeat([]host.Request{{Caller: caller, Payload: []byte(caller)}}, n)
}

func TestCallersTakeTurns(t *testing.T) {
	t.Parallel()
	got := queued(t, nil, slices.Concat(by("a", 4), by("b", 2), by("c", 1))...)
	if d := cmp.Diff(strings.Split("a b c a b a a", " "), got); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
}

func TestWeightsShareTheSlots(t *testing.T) {
	t.Parallel()
	weights := func(c *host.PoolConfig) { c.Weights = map[string]int{"a": 3} }
	got := queued(t, weights, slices.Concat(by("a", 8), by("b", 4))...)
	if d := cmp.Diff(strings.Split("a a a b a a a b a a b b", " "), got); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
}

func TestSessionsAreCallersOfTheirOwn(t *testing.T) {
	t.Parallel()
	in := func(s host.SessionID) host.Request { return host.Request{Session: s, Payload: []byte(s)} }
	got := queued(t, nil, slices.Concat(by("x", 3), []host.Request{in("s"), in("t")})...)
	if d := cmp.Diff(strings.Split("x s t x x", " "), got); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
}

func TestHigherClassesGoFirstAndLowerOnesAreNotStarved(t *testing.T) {
	t.Parallel()
	class := func(name string, p host.Priority, n int) []host.Request {
		return slices.Repeat([]host.Request{{Caller: name, Payload: []byte(name), Priority: p}}, n)
	}
	got := queued(t, nil, slices.Concat(class("low", -1, 2), class("normal", 0, 3), class("high", 1, 40))...)
	at := func(name string) (places []int) {
		for i, p := range got {
			if p == name {
				places = append(places, i)
			}
		}
		return places
	}
	// Sixteen higher ones go before one of a lower class; where two are due the lowest goes first.
	if d := cmp.Diff([]int{17, 35, 44}, at("normal")); d != "" {
		t.Errorf("places of normal calls (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]int{16, 33}, at("low")); d != "" {
		t.Errorf("places of low calls (-want +got):\n%s", d)
	}
}

func TestNestedCallsGoBeforeNewOnes(t *testing.T) {
	var s starts
	inBubble(t, quick(&s, nil), func(r *rig) {
		r.offer("nest", true, func(ctx context.Context, _ []byte) ([]byte, error) {
			time.Sleep(time.Millisecond) // until the others wait
			return r.do(ctx, host.Request{Tool: "quick", Payload: []byte("nested"), Caller: "nested", Priority: host.PriorityLow})
		})
		all := []<-chan error{
			r.start(r.Context(), host.Request{Tool: "ask", Payload: []byte("nest")}),
			r.start(r.Context(), host.Request{Tool: "quick", Payload: []byte("other")}),
		}
		for range 3 {
			all = append(all, r.start(r.Context(), host.Request{Tool: "quick", Payload: []byte("new"), Priority: host.PriorityHigh}))
		}
		for _, done := range all {
			if err := <-done; err != nil {
				r.Error(err)
			}
		}
		if d := cmp.Diff([]string{"nest", "other", "nested", "new", "new", "new"}, s.all()); d != "" {
			r.Errorf("order (-want +got):\n%s", d)
		}
	})
}

func TestFullQueueIsToldOnceASecond(t *testing.T) {
	full := func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Size, c.Pools[0].QueueSize = 1, -1 }
	inBubble(t, full, func(r *rig) {
		r.start(r.Context(), host.Request{Tool: "busy"})
		for range 250 {
			r.fails(host.Request{Tool: "echo"}, errdefs.QueueFull)
			time.Sleep(10 * time.Millisecond)
		}
		told := 0
		for _, e := range r.settled().Events {
			if e.Kind == host.EventQueueFull {
				told++
			}
		}
		if told != 3 {
			r.Errorf("told %d times in 2.5 s, want 3", told)
		}
	})
}

func TestRequestThatAsksForNonsenseIsRefused(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		for _, req := range []host.Request{
			{Tool: "echo", Priority: 2},
			{Tool: "echo", Priority: -2},
			{Tool: "echo", Session: "s", Affinity: "sticky"},
			{Tool: "echo", Affinity: host.AffinityStrictQueue},
			{Tool: "echo", Concurrent: true},
			{Tool: "echo", Caller: strings.Repeat("x", 257)},
			{Tool: "echo", Caller: "\xff"},
		} {
			r.wantRan(r.fails(req, errdefs.InvalidArguments), false)
		}
	})
}
