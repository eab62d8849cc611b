package host

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// mortal is a worker that takes calls until it's told to be dead.
type mortal struct {
	Worker

	slots int
	done  chan struct{}
}

func (w *mortal) Description() Description { return Description{Slots: w.slots} }
func (w *mortal) Done() <-chan struct{}    { return w.done }

// TestNoSlotIsLostOrGivenTwice drives a pool, without any goroutine, through calls,
// abandoned ones, releases, and workers that come, die unnoticed, are withdrawn and
// buried, while its configuration changes, and compares it with what must hold.
func TestNoSlotIsLostOrGivenTwice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &poolModel{T: rt, p: quietPool(3, 50)}
		rt.Repeat(map[string]func(*rapid.T){
			"call":      m.call,
			"call2":     m.call, // more often than the rest
			"release":   m.release,
			"release2":  m.release,
			"abandon":   m.abandon,
			"arrive":    m.arrive,
			"die":       m.die,
			"withdraw":  m.withdraw,
			"configure": m.configure,
			"":          m.check,
		})
		m.finish()
	})
}

type poolModel struct {
	*rapid.T

	p       *pool
	n       int
	members []*member // that were ever welcome
	grants  []*grant
	waiters []*waiter
	most    int // prefetch, the largest so far
}

func (m *poolModel) call(rt *rapid.T) {
	m.n++
	t := &ticket{
		pool: m.p, call: strconv.Itoa(m.n), session: "s",
		flow:  flowKey{flowCaller, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "caller")},
		class: class(rapid.IntRange(int(classHigh), int(classLow)).Draw(rt, "class")),
	}
	if len(m.grants) > 0 && rapid.IntRange(0, 5).Draw(rt, "nested") == 0 {
		g := rapid.SampledFrom(m.grants).Draw(rt, "parent")
		t.class, t.line = classNested, &lineage{grant: g, parent: g.ticket.line}
	}
	var x wish
	if len(m.members) > 0 {
		x.home = rapid.SampledFrom(append([]*member{nil}, m.members...)).Draw(rt, "home")
		x.strict = rapid.SampledFrom([]Affinity{"", "", AffinityStrictQueue, AffinityStrictFailFast}).Draw(rt, "strict")
	}
	g, w, err := m.p.takeOrQueue(x, t)
	switch {
	case g != nil:
		m.granted(g, t, x)
	case w != nil:
		m.waiters = append(m.waiters, w)
		if m.ring(nil, wish{}) || w.home != nil && m.ring(nil, x) {
			m.Fatal("it waits for itself")
		}
	default:
		m.refused(err, t, x)
	}
}

// ring reports whether every slot that a call may get is held by a call that waits
// for one, itself among the waiting (nil: it is already).
func (m *poolModel) ring(t *ticket, x wish) bool {
	slots, stuck := 0, 0
	for _, y := range m.members {
		if y.state == WorkerReady && (x.strict == "" || y == x.home) {
			slots += y.slots
		}
	}
	for _, g := range m.grants {
		if x.strict != "" && g.member != x.home || g.member.state != WorkerReady {
			continue
		}
		waits := t != nil && descends(t.line, g)
		for _, w := range m.waiters {
			waits = waits || (x.strict == "" || w.home == x.home) && descends(w.ticket.line, g)
		}
		if waits {
			stuck++
		}
	}
	return stuck >= slots && slots > 0 && (x.strict != "" || m.p.ready == m.p.cfg().Size)
}

func (m *poolModel) granted(g *grant, t *ticket, x wish) {
	if x.strict != "" && g.member != x.home {
		m.Fatalf("a call for %v runs elsewhere", x.home.id)
	}
	if g.begun != nil && t.class == classNested {
		m.Fatal("a nested call waits in a worker")
	}
	if slices.Contains(m.grants, g) || g.worker == nil {
		m.Fatal("granted twice, or no worker")
	}
	m.grants = append(m.grants, g)
}

func (m *poolModel) refused(err error, t *ticket, x wish) {
	switch r := errdefs.ReasonOf(err); {
	case r == errdefs.QueueFull && m.p.waiting >= m.p.cfg().QueueSize:
	case r == errdefs.CallCycle && (m.ring(t, wish{}) || x.strict != "" && m.ring(t, x)):
	case r == errdefs.WorkerBusy && x.strict == AffinityStrictFailFast && !x.home.available():
	case r == errdefs.SessionWorkerUnavailable && x.strict != "" && (x.home == nil || x.home.gone()):
	default:
		m.Fatalf("refused: %v", err)
	}
}

func (m *poolModel) release(rt *rapid.T) {
	if len(m.grants) == 0 {
		rt.Skip("nothing runs")
	}
	i := rapid.IntRange(0, len(m.grants)-1).Draw(rt, "which")
	g := m.grants[i]
	m.grants = slices.Delete(m.grants, i, i+1)
	m.p.release(g)
	m.p.release(g) // does nothing
	m.collect()
}

// collect takes in the answers that have come.
func (m *poolModel) collect() {
	m.waiters = slices.DeleteFunc(m.waiters, func(w *waiter) bool {
		select {
		case g := <-w.granted:
			m.answered(w, g)
			return true
		default:
			return false
		}
	})
}

func (m *poolModel) answered(w *waiter, g *grant) {
	if w.flow.waiters.count > 0 && w.place.in != nil {
		m.Fatal("answered, and still in the queue")
	}
	if g == nil {
		if w.home == nil || !w.home.gone() || errdefs.ReasonOf(w.err) != errdefs.SessionWorkerUnavailable {
			m.Fatalf("turned away with %v", w.err)
		}
		return
	}
	if g.member.ended() {
		m.Fatalf("a call was handed to worker %s, which is dead", g.member.id)
	}
	x := wish{home: w.home}
	if w.home != nil {
		x.strict = AffinityStrictQueue
	}
	m.granted(g, w.ticket, x)
}

func (m *poolModel) abandon(rt *rapid.T) {
	if len(m.waiters) == 0 {
		rt.Skip("nobody waits")
	}
	i := rapid.IntRange(0, len(m.waiters)-1).Draw(rt, "who")
	w := m.waiters[i]
	m.waiters = slices.Delete(m.waiters, i, i+1)
	left, _ := m.p.abandon(w)
	if !left {
		rt.Fatal("it had been answered, and wasn't told")
	}
	m.p.mu.Lock()
	w.ticket.drop()
	m.p.mu.Unlock()
}

func (m *poolModel) arrive(rt *rapid.T) {
	seat := slices.IndexFunc([]int{0, 1, 2}, func(n int) bool {
		i, taken := m.p.indexOf(n)
		return !taken || m.p.members[i].state == WorkerStopping || m.p.members[i].state == WorkerDead
	})
	if seat < 0 {
		rt.Skip("every seat is taken")
	}
	x := newMember(m.p, seat, WorkerID(strconv.Itoa(len(m.members))))
	m.p.sit(x)
	m.members = append(m.members, x)
	m.p.welcome(x, &mortal{slots: rapid.IntRange(1, 3).Draw(rt, "slots"), done: make(chan struct{})})
	m.collect()
}

func (m *poolModel) living(rt *rapid.T) *member {
	var all []*member
	for _, x := range m.members {
		if x.state == WorkerReady {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		rt.Skip("nobody lives")
	}
	return rapid.SampledFrom(all).Draw(rt, "worker")
}

// die ends a worker without its pool's noticing.
func (m *poolModel) die(rt *rapid.T) {
	x := m.living(rt)
	if w, ok := x.worker.(*mortal); ok && !x.ended() {
		close(w.done)
	}
}

func (m *poolModel) withdraw(rt *rapid.T) {
	x := m.living(rt)
	m.p.withdraw(x, rapid.SampledFrom([]WorkerState{WorkerStopping, WorkerDraining}).Draw(rt, "to"))
	if rapid.Bool().Draw(rt, "bury") {
		m.p.bury(x)
	}
	m.collect()
}

func (m *poolModel) configure(rt *rapid.T) {
	cfg := *m.p.cfg()
	cfg.QueueSize = rapid.IntRange(0, 50).Draw(rt, "queue")
	cfg.Prefetch = rapid.IntRange(0, 2).Draw(rt, "prefetch")
	cfg.Weights = map[string]int{"a": rapid.IntRange(1, 4).Draw(rt, "weight")}
	m.most = max(m.most, cfg.Prefetch)
	m.p.conf.Store(&cfg)
}

// check is what must hold after every step.
func (m *poolModel) check(rt *rapid.T) {
	p, busy, stalled := m.p, map[*member]int{}, 0
	for _, g := range m.grants {
		busy[g.member]++
	}
	pinned := 0
	for _, x := range m.members {
		m.checkMember(rt, x, busy[x])
		if x.pins != nil {
			pinned += x.pins.queue.count
		}
		stalled += m.countStalled(x)
	}
	if p.queue.count+pinned != len(m.waiters) || p.waiting != len(m.waiters) {
		rt.Fatalf("%d and %d in queues, %d tickets, %d wait", p.queue.count, pinned, p.waiting, len(m.waiters))
	}
	if p.stalled != stalled {
		rt.Fatalf("%d calls count as waiting for their own, %d do", p.stalled, stalled)
	}
}

func (m *poolModel) checkMember(rt *rapid.T, x *member, busy int) {
	if x.busy != busy || x.running.count+x.behind.count != busy || x.running.count > x.slots || x.busy > x.slots+m.most {
		rt.Fatalf("worker %s: %d granted, %d run and %d wait of %d busy, with %d slots", x.id, busy, x.running.count, x.behind.count, x.busy, x.slots)
	}
	if x.behind.count > 0 && x.running.count < x.slots {
		rt.Fatalf("a call waits in worker %s beside a free slot", x.id)
	}
	listed := x.free.in == &m.p.idle || x.free.in == &m.p.partly
	alive := x.available() && !x.ended()
	if listed && !x.available() || alive && !listed {
		rt.Fatalf("worker %s is available %t, listed %t", x.id, x.available(), listed)
	}
	waits := m.p.queue.count > 0 || x.pins != nil && x.pins.queue.count > 0
	if alive && waits {
		rt.Fatalf("a call waits beside a free slot of worker %s", x.id)
	}
	if x.gone() && x.pins != nil && x.pins.queue.count > 0 && (x.state != WorkerDraining || x.busy < x.slots && !x.ended()) {
		rt.Fatalf("a call waits for worker %s, which is %s", x.id, x.state)
	}
}

// countStalled counts from the waiters up what the pool keeps as a number.
func (m *poolModel) countStalled(x *member) (n int) {
	for _, g := range m.grants {
		if g.member == x && slices.ContainsFunc(m.waiters, func(w *waiter) bool { return descends(w.ticket.line, g) }) {
			n++
		}
	}
	return n
}

func descends(l *lineage, g *grant) bool {
	for ; l != nil; l = l.parent {
		if l.grant == g {
			return true
		}
	}
	return false
}

// finish ends everything: then nothing waits, and every slot of the living can be had.
func (m *poolModel) finish() {
	for len(m.grants) > 0 {
		g := m.grants[0]
		m.grants = m.grants[1:]
		m.p.release(g)
		m.collect()
	}
	alive := 0
	for _, x := range m.members {
		if x.state == WorkerReady && !x.ended() {
			alive += x.slots
		}
	}
	if alive > 0 && m.p.queue.count > 0 {
		m.Fatalf("%d calls wait, and nothing runs", m.p.queue.count)
	}
	m.p.close()
	for _, w := range m.waiters {
		if g := <-w.granted; g != nil || errdefs.ReasonOf(w.err) != errdefs.Draining {
			m.Fatalf("closed: %v, %v", g, w.err)
		}
	}
	if m.p.waiting != 0 || m.p.stalled != 0 {
		m.Fatalf("%d still wait, %d are stalled", m.p.waiting, m.p.stalled)
	}
}
