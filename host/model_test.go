package host_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
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
	sessions []host.SessionID
	calls    []*modelCall

	mu      sync.Mutex // guards all below
	started []int      // calls in the order in which they reached a worker
	current map[host.SessionID]int
	broken  []string // what went wrong where a test can't fail
}

// modelCall is one call: asked for, then perhaps running, then answered.
type modelCall struct {
	n       int
	session host.SessionID
	cancel  context.CancelFunc
	finish  chan string // what its tool does next: return, crash

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
		sessions: []host.SessionID{"", "", "", "s1", "s2"},
		current:  map[host.SessionID]int{},
	}
	m.rig = newRig(t, func(c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].Size, c.Pools[0].QueueSize = m.size, m.queue
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
		"call": func(rt *rapid.T) { m.call(m.session(rt), 0) },
		"callBriefly": func(rt *rapid.T) {
			m.call(m.session(rt), time.Duration(rapid.IntRange(1, 6).Draw(rt, "seconds"))*time.Second)
		},
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
	m.enter(call)
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

func (m *model) enter(call *modelCall) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(m.started, call.n) {
		m.broken = append(m.broken, fmt.Sprintf("call %d ran twice", call.n))
	}
	if call.session != "" {
		if m.current[call.session]++; m.current[call.session] > 1 {
			m.broken = append(m.broken, fmt.Sprintf("session %s runs two calls", call.session))
		}
	}
	m.started = append(m.started, call.n)
}

func (m *model) leave(call *modelCall) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if call.session != "" {
		m.current[call.session]--
	}
}

func (m *model) session(rt *rapid.T) host.SessionID {
	return rapid.SampledFrom(m.sessions).Draw(rt, "session")
}

func (m *model) call(session host.SessionID, timeout time.Duration) {
	n := len(m.calls)
	if n >= 100 {
		m.Skip("enough calls")
	}
	ctx, cancel := context.WithTimeout(m.rig.Context(), time.Hour)
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(m.rig.Context(), timeout)
	}
	c := &modelCall{n: n, cancel: cancel, finish: make(chan string, 1), session: session}
	m.calls = append(m.calls, c)
	req := host.Request{Tool: "t", Session: c.session, Metadata: map[string]string{"n": string([]byte{byte('0' + n%10), byte('0' + n/10)})}}
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
		if w.Most() > m.slots {
			rt.Fatalf("a worker with %d slots ran %d calls", m.slots, w.Most())
		}
	}
	m.checkStatus(rt)
	m.checkAnswers(rt)
	m.checkCounts(rt)
}

func (m *model) checkStatus(rt *rapid.T) {
	s := m.rig.Status().Pools[0]
	if s.Queued < 0 || s.Queued > m.queue || s.Busy < 0 || s.Ready > m.size {
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
		if c.answered() == 0 && !m.hasStarted(c.n) && !m.turnTaken(c, seen) {
			waiting++
		}
	}
	if waiting > 0 && busy < s.Slots {
		rt.Fatalf("%d calls wait while %d of %d slots are busy: a slot was lost", waiting, busy, s.Slots)
	}
}

// turnTaken reports whether a call that hasn't started waits for another of its
// session, and notes its session.
func (m *model) turnTaken(c *modelCall, seen map[host.SessionID]bool) bool {
	if c.session == "" {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.current[c.session] > 0 || seen[c.session]
	seen[c.session] = true
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
		if len(outcomes) == 1 && errdefs.MayHaveRun(outcomes[0]) && !m.hasStarted(c.n) {
			rt.Fatalf("call %d, which never ran, says %v", c.n, outcomes[0])
		}
	}
	m.checkOrder(rt)
}

// checkOrder: while a call without a session waits, none that came later has
// started. Those that are granted slots in the same moment may start in any order.
func (m *model) checkOrder(rt *rapid.T) {
	latest := -1
	m.mu.Lock()
	for _, n := range m.started {
		if m.calls[n].session == "" {
			latest = max(latest, n)
		}
	}
	m.mu.Unlock()
	for _, c := range m.calls[:latest+1] {
		if c.session == "" && c.answered() == 0 && !m.hasStarted(c.n) {
			rt.Fatalf("call %d waits, while %d, which came later, has started", c.n, latest)
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
		m.call("", 0)
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
