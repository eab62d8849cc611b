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

// TestSessionsAgainstTheirModel moves sessions between engines in every way there is,
// while calls run and workers die, and checks after each step what must always hold.
func TestSessionsAgainstTheirModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ *testing.T }{t}, func(rt *rapid.T) { newOwnersModel(t, rt).run() })
	})
}

// ownersModel is several engines and what their workers have seen.
type ownersModel struct {
	*rapid.T

	nodes    *owners
	ids      []string // of the nodes
	sessions []host.SessionID
	down     map[string]bool
	pending  []*modelCallAway

	mu      sync.Mutex // guards all below
	running map[host.SessionID]map[*hosttest.Call]string
	greeted map[greeting]bool
	opened  map[host.SessionID]bool
	broken  []string
}

// greeting is a session at a home, of the homes that it had by that worker.
type greeting struct {
	session host.SessionID
	worker  host.WorkerID
	epoch   uint64
}

type modelCallAway struct {
	session host.SessionID
	done    <-chan error
}

func newOwnersModel(t *testing.T, rt *rapid.T) *ownersModel {
	t.Helper()
	m := &ownersModel{
		T: rt, sessions: []host.SessionID{"hint", "strict", "concurrent"}, down: map[string]bool{},
		running: map[host.SessionID]map[*hosttest.Call]string{}, greeted: map[greeting]bool{}, opened: map[host.SessionID]bool{},
	}
	n := newNodes(t, 3, leased(func(id string, c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].Breaker.Threshold, c.Pools[0].Barrier.Taint = -1, 0
		c.SessionTTL = -1
		l.Slots = 2
		l.Tools = []hosttest.Tool{{Tool: host.Tool{Name: "t"}, Run: m.tool(id)}}
		l.Hooks = map[string]func(context.Context, *hosttest.Call) ([]byte, error){
			"session_open": m.hook(id, true), "session_restore": m.hook(id, true),
			"session_save": m.hook(id, false), "session_close": func(context.Context, *hosttest.Call) ([]byte, error) { return nil, nil },
		}
	}))
	m.nodes = newOwners(n)
	for id := range n.rigs {
		m.ids = append(m.ids, id)
	}
	slices.Sort(m.ids)
	return m
}

func (m *ownersModel) complain(format string, args ...any) {
	m.broken = append(m.broken, fmt.Sprintf(format, args...))
}

// enter notes what a worker begins to run for a session. Nobody else may run anything of
// it who has a lease and lives; where calls take turns, nobody at all.
func (m *ownersModel) enter(node string, c *hosttest.Call) {
	id := c.Session
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running[id] == nil {
		m.running[id] = map[*hosttest.Call]string{}
	}
	for other, at := range m.running[id] {
		if _, holds := m.nodes.members[at].Self(); !holds || isClosed(other.Killed()) {
			continue // it's frozen, or dead
		}
		if at != node || id != "concurrent" {
			m.complain("%s of %s runs at %s, and so does %s at %s", c.Tool, id, node, other.Tool, at)
		}
	}
	m.running[id][c] = node
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (m *ownersModel) leave(c *hosttest.Call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.running[c.Session], c)
}

func (m *ownersModel) tool(node string) func(context.Context, *hosttest.Call) ([]byte, error) {
	return func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
		m.enter(node, c)
		defer m.leave(c)
		m.mu.Lock()
		if !c.Away && !m.greeted[m.at(c)] {
			m.complain("%s at home on %s, which never had its hook", c.Session, c.Worker.Spec.Worker)
		}
		m.mu.Unlock()
		return takes(time.Duration(len(c.Payload))*100*time.Millisecond)(ctx, c)
	}
}

// at is the home that a call runs on. A failed move renews the epoch and keeps the home.
func (m *ownersModel) at(c *hosttest.Call) greeting {
	return greeting{session: c.Session, worker: c.Worker.Spec.Worker}
}

func (m *ownersModel) hook(node string, greets bool) func(context.Context, *hosttest.Call) ([]byte, error) {
	return func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
		m.enter(node, c)
		defer m.leave(c)
		if _, err := takes(50*time.Millisecond)(ctx, c); err != nil || !greets {
			return nil, err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if isClosed(c.Killed()) {
			return nil, nil
		}
		g := m.at(c)
		if c.Tool == "snakepit.session.open" && m.opened[c.Session] {
			m.complain("%s was opened twice", c.Session)
		}
		m.opened[c.Session] = true
		once := greeting{c.Session, g.worker, c.Epoch}
		if m.greeted[once] {
			m.complain("%s had its hook twice on %s at epoch %d", c.Session, g.worker, c.Epoch)
		}
		m.greeted[g], m.greeted[once] = true, true
		return nil, nil
	}
}

func (m *ownersModel) run() {
	m.Repeat(map[string]func(*rapid.T){
		"call":     m.call,
		"call2":    m.call,
		"call3":    m.call,
		"kill":     m.kill,
		"handOver": m.handOver,
		"empty":    m.empty,
		"lapse":    m.lapse,
		"take":     m.take,
		"failOver": m.failOver,
		"return":   m.comeBack,
		"sleep": func(rt *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(1, 700).Draw(rt, "ms")) * time.Millisecond)
		},
		"": m.check,
	})
	m.finish()
}

func (m *ownersModel) up() (ids []string) {
	for _, id := range m.ids {
		if !m.down[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

func (m *ownersModel) request(id host.SessionID) host.Request {
	req := host.Request{Tool: "t", Session: id, Idempotent: true, Concurrent: id == "concurrent"}
	if id == "strict" {
		req.Affinity = host.AffinityStrictQueue
	}
	return req
}

func (m *ownersModel) call(rt *rapid.T) {
	req := m.request(rapid.SampledFrom(m.sessions).Draw(rt, "session"))
	req.Payload = make([]byte, rapid.IntRange(0, 8).Draw(rt, "takes"))
	via := rapid.SampledFrom(m.up()).Draw(rt, "via")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	done := make(chan error, 1)
	m.pending = append(m.pending, &modelCallAway{session: req.Session, done: done})
	go func() {
		defer cancel()
		_, err := m.nodes.rigs[via].do(ctx, req)
		done <- err
	}()
	synctest.Wait()
}

func (m *ownersModel) kill(rt *rapid.T) {
	live := m.nodes.rigs[rapid.SampledFrom(m.ids).Draw(rt, "node")].launcher.Live()
	if len(live) == 0 {
		rt.Skip("nobody lives")
	}
	live[rapid.IntRange(0, len(live)-1).Draw(rt, "which")].Crash()
}

func (m *ownersModel) handOver(rt *rapid.T) {
	from, to := rapid.SampledFrom(m.up()).Draw(rt, "from"), rapid.SampledFrom(m.ids).Draw(rt, "to")
	id := rapid.SampledFrom(m.sessions).Draw(rt, "session")
	if from == to {
		rt.Skip("nothing to do")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	go func() {
		defer cancel()
		_ = m.nodes.rigs[from].HandOverSession(ctx, id, m.nodes.owner(to)) // it may be anybody's
	}()
	synctest.Wait()
}

func (m *ownersModel) empty(rt *rapid.T) {
	from := rapid.SampledFrom(m.up()).Draw(rt, "from")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	go func() {
		defer cancel()
		_, _, _ = m.nodes.rigs[from].HandOver(ctx)
	}()
	synctest.Wait()
}

// take gives a session to another node while its owner runs its calls.
func (m *ownersModel) take(rt *rapid.T) {
	id, to := rapid.SampledFrom(m.sessions).Draw(rt, "session"), rapid.SampledFrom(m.up()).Draw(rt, "to")
	if owner, _, err := m.nodes.members[to].Owner(context.Background(), id); err != nil || owner.Node == to || m.down[owner.Node] {
		rt.Skip("nothing to do")
	}
	if _, err := m.nodes.cluster.Move(context.Background(), id, m.nodes.members[to]); err != nil {
		rt.Fatal(err)
	}
	synctest.Wait()
}

// lapse ends a lease, and gives it back.
func (m *ownersModel) lapse(rt *rapid.T) {
	id := rapid.SampledFrom(m.up()).Draw(rt, "node")
	m.nodes.members[id].SetLease(false)
	time.Sleep(time.Duration(rapid.IntRange(1, 300).Draw(rt, "ms")) * time.Millisecond)
	m.nodes.members[id].SetLease(true)
}

// failOver takes a node away for good, and gives its sessions to others.
func (m *ownersModel) failOver(rt *rapid.T) {
	up := m.up()
	if len(up) < 2 {
		rt.Skip("the last one stays")
	}
	id := rapid.SampledFrom(up).Draw(rt, "node")
	m.down[id] = true
	m.nodes.fail(id)
	m.nodes.deaf[id].Store(true)
	time.Sleep(time.Duration(rapid.IntRange(1, 300).Draw(rt, "ms")) * time.Millisecond)
	to := rapid.SampledFrom(m.up()).Draw(rt, "to")
	for _, s := range m.nodes.cluster.Owned(m.nodes.members[id]) {
		if _, err := m.nodes.cluster.Move(context.Background(), s, m.nodes.members[to]); err != nil {
			rt.Fatal(err)
		}
	}
	synctest.Wait()
}

func (m *ownersModel) comeBack(rt *rapid.T) {
	for _, id := range m.ids {
		if m.down[id] {
			m.down[id] = false
			m.nodes.comesBack(id)
			return
		}
	}
	rt.Skip("all are up")
}

func (m *ownersModel) check(rt *rapid.T) {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.broken) > 0 {
		rt.Fatal(m.broken)
	}
}

// finish ends everything: then every call has its one answer, and every session answers.
func (m *ownersModel) finish() {
	for slices.ContainsFunc(m.ids, func(id string) bool { return m.down[id] }) {
		m.comeBack(m.T)
	}
	time.Sleep(3 * time.Minute)
	synctest.Wait()
	for i, c := range m.pending {
		select {
		case err := <-c.done:
			if !m.may(err) {
				m.Fatalf("call %d of %s: %v", i, c.session, err)
			}
		default:
			m.Fatalf("call %d of %s has no answer", i, c.session)
		}
	}
	for _, id := range m.sessions {
		for _, via := range m.ids {
			if _, err := m.nodes.rigs[via].do(context.Background(), m.request(id)); err != nil && (id != "strict" || !m.may(err)) {
				m.Fatalf("in the end, %s via %s: %v", id, via, err)
			}
		}
	}
	m.check(m.T)
	for _, id := range m.ids {
		if p := m.nodes.rigs[id].settled(); p.Busy != 0 || p.Queued != 0 {
			m.Fatalf("%s at rest: %+v", id, p)
		}
	}
	for id, r := range m.nodes.rigs {
		if err := r.stop(); err != nil {
			m.Fatalf("%s: %v", id, err)
		}
	}
	m.nodes.cluster.Wait()
}

// may reports whether a call may end so: it has run, it met a death too many, or the
// worker of a strict session died on a node that lives.
func (m *ownersModel) may(err error) bool {
	switch errdefs.ReasonOf(err) { //nolint:exhaustive // the rest are wrong
	case "", errdefs.WorkerCrashed, errdefs.SessionWorkerUnavailable, errdefs.QueueTimeout, errdefs.HostUnreachable, errdefs.Fenced, errdefs.NoQuorum:
		return true
	}
	return false
}
