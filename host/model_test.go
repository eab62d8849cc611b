package host_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// TestPoolAgainstItsModel runs random calls, cancels, timeouts and deaths against
// a pool, and checks after each step what must always hold.
func TestPoolAgainstItsModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ *testing.T }{t}, func(rt *rapid.T) { newModel(t, rt).run() })
	})
}

// model is a pool under test and what it should be doing.
type model struct {
	*rapid.T

	rig      *rig
	slots    int
	size     int
	queue    int
	prefetch int
	calls    []*modelCall
	closing  atomic.Int64 // closes that wait for their session's turn, perhaps

	mu      sync.Mutex // guards all below
	started []int      // calls in the order in which they reached a worker
	current map[host.SessionID]int
	homes   map[host.SessionID]host.WorkerID // of strict sessions, which are never closed
	broken  []string                         // what went wrong where a test can't fail
}

// modelCall is one call: asked for, then perhaps running, then answered.
type modelCall struct {
	n      int
	req    host.Request
	cancel context.CancelFunc
	finish chan string // what its tool does next: return, crash

	mu       sync.Mutex // guards all below
	outcomes []error
	asked    bool // the end was asked for
}

func (c *modelCall) answered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.outcomes)
}

func newModel(t *testing.T, rt *rapid.T) *model {
	t.Helper()
	m := &model{
		T:        rt,
		slots:    rapid.IntRange(1, 3).Draw(rt, "slots"),
		size:     rapid.IntRange(1, 3).Draw(rt, "size"),
		queue:    rapid.IntRange(1, 6).Draw(rt, "queue"),
		prefetch: rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(rt, "prefetch"),
		current:  map[host.SessionID]int{},
		homes:    map[host.SessionID]host.WorkerID{},
	}
	m.rig = newRig(t, func(c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].Size, c.Pools[0].QueueSize, c.Pools[0].Prefetch = m.size, m.queue, m.prefetch
		c.Pools[0].Weights = map[string]int{"a": 3}
		c.Pools[0].Breaker.Threshold = -1 // crashes are what the model is made of
		l.Slots, l.Tools = m.slots, []hosttest.Tool{{Tool: host.Tool{Name: "t"}, Run: m.tool}}
	})
	if err := m.rig.Ready(t.Context()); err != nil {
		rt.Fatal(err)
	}
	return m
}

func (m *model) run() {
	m.Repeat(map[string]func(*rapid.T){
		"call": func(rt *rapid.T) { m.call(m.request(rt), 0) },
		"callBriefly": func(rt *rapid.T) {
			m.call(m.request(rt), time.Duration(rapid.IntRange(1, 6).Draw(rt, "seconds"))*time.Second)
		},
		"close":          m.close,
		"finish":         func(rt *rapid.T) { m.end(rt, "return") },
		"stick":          func(rt *rapid.T) { m.end(rt, "stick") },
		"crash":          func(rt *rapid.T) { m.end(rt, "crash") },
		"cancel":         m.cancel,
		"leaveAsGranted": func(rt *rapid.T) { m.end(rt, "return"); m.cancel(rt) }, // a slot or turn comes as its waiter goes
		"kill":           m.kill,
		"sleep": func(rt *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond)
		},
		"": m.check,
	})
	m.finishAll()
}

// tool does what the test says. One that sticks ignores its cancel.
func (m *model) tool(ctx context.Context, c *hosttest.Call) ([]byte, error) {
	call := m.calls[c.Metadata["n"][0]-'0'+10*(c.Metadata["n"][1]-'0')]
	m.enter(call, c.Worker.Spec.Worker)
	defer m.leave(call)
	for {
		select {
		case what := <-call.finish:
			switch what {
			case "crash":
				c.Worker.Crash()
				return nil, nil
			case "stick":
				<-c.Killed()
				return nil, nil
			}
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (m *model) enter(call *modelCall, on host.WorkerID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := call.req.Session
	if slices.Contains(m.started, call.n) {
		m.broken = append(m.broken, fmt.Sprintf("call %d ran twice", call.n))
	}
	if m.current[s]++; s != "" && !call.req.Concurrent && m.current[s] > 1 {
		m.broken = append(m.broken, fmt.Sprintf("session %s runs two calls", s))
	}
	if call.strict() {
		if m.homes[s] == "" {
			m.homes[s] = on
		}
		if m.homes[s] != on {
			m.broken = append(m.broken, fmt.Sprintf("session %s ran on %s and %s", s, m.homes[s], on))
		}
	}
	m.started = append(m.started, call.n)
}

func (c *modelCall) strict() bool { return c.req.Affinity.Validate() == nil && c.req.Affinity != "" }

func (m *model) leave(call *modelCall) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current[call.req.Session]--
}

// request is a call of somebody: half of them of no session.
func (m *model) request(rt *rapid.T) host.Request {
	req := rapid.SampledFrom([]host.Request{
		{},
		{},
		{},
		{},
		{Caller: "a"},
		{Caller: "a"},
		{Caller: "b"},
		{Session: "s1"},
		{Session: "s2"},
		{Session: "c1", Concurrent: true},
		{Session: "c1", Concurrent: true, Caller: "a"},
		{Session: "p1", Affinity: host.AffinityStrictQueue},
		{Session: "p2", Affinity: host.AffinityStrictFailFast},
		{Session: "p3", Affinity: host.AffinityStrictQueue, Concurrent: true},
	}).Draw(rt, "who")
	req.Priority = rapid.SampledFrom([]host.Priority{0, 0, 0, host.PriorityHigh, host.PriorityLow}).Draw(rt, "priority")
	return req
}

func (m *model) close(rt *rapid.T) {
	id := rapid.SampledFrom([]host.SessionID{"s1", "c1"}).Draw(rt, "session")
	m.closing.Add(1)
	go func() {
		_ = m.rig.CloseSession(m.rig.Context(), id) // it may have to wait for too long
		m.closing.Add(-1)
	}()
	synctest.Wait()
}

func (m *model) call(req host.Request, timeout time.Duration) {
	n := len(m.calls)
	if n >= 100 {
		m.Skip("enough calls")
	}
	ctx, cancel := context.WithTimeout(m.rig.Context(), time.Hour)
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(m.rig.Context(), timeout)
	}
	c := &modelCall{n: n, cancel: cancel, finish: make(chan string, 1), req: req}
	m.calls = append(m.calls, c)
	req.Tool, req.Metadata = "t", map[string]string{"n": string([]byte{byte('0' + n%10), byte('0' + n/10)})}
	go func() {
		_, err := m.rig.do(ctx, req)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.outcomes = append(c.outcomes, err)
	}()
	synctest.Wait()
}

// pick chooses a call that runs and hasn't been told to end.
func (m *model) pick(rt *rapid.T) *modelCall {
	var running []*modelCall
	m.mu.Lock()
	for _, n := range m.started {
		if c := m.calls[n]; !c.asked && c.answered() == 0 {
			running = append(running, c)
		}
	}
	m.mu.Unlock()
	if len(running) == 0 {
		rt.Skip("nothing runs")
	}
	return running[rapid.IntRange(0, len(running)-1).Draw(rt, "which")]
}

func (m *model) end(rt *rapid.T, how string) {
	c := m.pick(rt)
	c.asked = true
	c.finish <- how
}

func (m *model) cancel(rt *rapid.T) {
	var open []*modelCall
	for _, c := range m.calls {
		if c.answered() == 0 {
			open = append(open, c)
		}
	}
	if len(open) == 0 {
		rt.Skip("nothing to cancel")
	}
	open[rapid.IntRange(0, len(open)-1).Draw(rt, "which")].cancel()
}

func (m *model) kill(rt *rapid.T) {
	live := m.rig.launcher.Live()
	if len(live) == 0 {
		rt.Skip("nobody lives")
	}
	live[rapid.IntRange(0, len(live)-1).Draw(rt, "which")].Crash()
}

// check is what must hold whenever nothing moves.
func (m *model) check(rt *rapid.T) {
	synctest.Wait()
	m.mu.Lock()
	broken := m.broken
	m.mu.Unlock()
	if len(broken) > 0 {
		rt.Fatal(broken)
	}
	for _, w := range m.rig.launcher.Workers() {
		if w.Most() > m.slots+m.prefetch {
			rt.Fatalf("a worker with %d slots, and %d places behind them, had %d calls", m.slots, m.prefetch, w.Most())
		}
	}
	m.checkStatus(rt)
	m.checkAnswers(rt)
	m.checkCounts(rt)
}

func (m *model) checkStatus(rt *rapid.T) {
	s := m.rig.Status().Pools[0]
	if s.Queued < 0 || s.Queued > m.queue+m.prefetch*m.size || s.Busy < 0 || s.Ready > m.size {
		rt.Fatalf("status %+v", s)
	}
	busy := 0
	for _, w := range m.rig.Workers("") {
		if w.State == host.WorkerReady {
			busy += w.Busy
		}
	}
	waiting := 0 // for a slot, not for its session's turn
	seen := map[host.SessionID]bool{}
	for _, c := range m.calls {
		if c.answered() == 0 && !c.strict() && !m.hasStarted(c.n) && !m.turnTaken(c, seen) {
			waiting++
		}
	}
	if m.prefetch == 0 && waiting > 0 && busy < s.Slots {
		rt.Fatalf("%d calls wait while %d of %d slots are busy: a slot was lost", waiting, busy, s.Slots)
	}
}

// turnTaken reports whether a call that hasn't started waits for another of its
// session, and notes its session.
func (m *model) turnTaken(c *modelCall, seen map[host.SessionID]bool) bool {
	if c.req.Session == "" {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.current[c.req.Session] > 0 || seen[c.req.Session]
	seen[c.req.Session] = true
	return taken
}

func (m *model) hasStarted(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.started, n)
}

// checkAnswers: nobody is answered twice, nobody who didn't run is told that they
// may have, and nobody overtakes.
func (m *model) checkAnswers(rt *rapid.T) {
	for _, c := range m.calls {
		c.mu.Lock()
		outcomes := c.outcomes
		c.mu.Unlock()
		if len(outcomes) > 1 {
			rt.Fatalf("call %d was answered %d times", c.n, len(outcomes))
		}
		if len(outcomes) == 1 && outcomes[0] == nil && !m.hasStarted(c.n) {
			rt.Fatalf("call %d succeeded without running", c.n)
		}
		// What waited in a worker that died may have run, as far as the host can say.
		if m.prefetch == 0 && len(outcomes) == 1 && errdefs.MayHaveRun(outcomes[0]) && !m.hasStarted(c.n) {
			rt.Fatalf("call %d, which never ran, says %v", c.n, outcomes[0])
		}
	}
	m.checkOrder(rt)
}

// checkOrder: while a call without a session waits, none of the same caller and class
// that came later has started. Those that are granted slots in the same moment may
// start in any order, and so may those that wait in different workers.
func (m *model) checkOrder(rt *rapid.T) {
	if m.prefetch > 0 {
		return
	}
	type line struct {
		caller   string
		priority host.Priority
	}
	latest := map[line]int{}
	of := func(c *modelCall) line { return line{c.req.Caller, c.req.Priority} }
	m.mu.Lock()
	for _, n := range m.started {
		if c := m.calls[n]; c.req.Session == "" {
			latest[of(c)] = max(latest[of(c)], n)
		}
	}
	m.mu.Unlock()
	for _, c := range m.calls {
		if last := latest[of(c)]; c.req.Session == "" && c.n < last && c.answered() == 0 && !m.hasStarted(c.n) {
			rt.Fatalf("call %d waits, while %d, which came later, has started", c.n, last)
		}
	}
}

// finishAll ends everything: then every call has its one answer, and every slot is free.
func (m *model) finishAll() {
	for _, c := range m.calls {
		c.cancel()
	}
	synctest.Wait()
	time.Sleep(time.Minute) // beyond every grace and backoff
	synctest.Wait()
	for _, c := range m.calls {
		if c.answered() != 1 {
			m.Fatalf("call %d has %d answers", c.n, c.answered())
		}
	}
	m.checkCounts(m.T)
	if s := m.rig.Status().Pools[0]; s.Busy != 0 || s.Queued != 0 || s.Ready != m.size {
		m.Fatalf("at rest: %+v", s)
	}
	for range m.size * m.slots {
		m.call(host.Request{}, 0)
	}
	if s := m.rig.Status().Pools[0]; s.Busy != m.size*m.slots {
		m.Fatalf("at rest, %d of %d slots can be had", s.Busy, m.size*m.slots)
	}
	for _, c := range m.calls {
		c.cancel()
	}
	if err := m.rig.stop(); err != nil {
		m.Fatal(err)
	}
}
