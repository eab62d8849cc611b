package host

import (
	"context"
	"fmt"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// drainBound is how long a worker that is taken out of service lets its calls go
// on, however late their deadlines are.
const drainBound = time.Hour

// welcome takes a worker into service and gives its slots to those who wait.
func (p *pool) welcome(m *member, worker Worker) {
	d := worker.Description()
	p.tools.Store(newToolset(d.Tools))
	p.mu.Lock()
	m.transition(WorkerReady)
	m.worker, m.done, m.process, m.slots = worker, worker.Done(), d.Process, min(max(d.Slots, 1), maxSlots)
	p.serving[m.id] = m
	m.age.since = time.Now()
	m.begin(p.cfg().Recycle)
	p.ready++
	p.open += m.slots
	p.everReady, p.startErr = true, nil
	var out answers
	p.handOn(m, &out)
	changed := p.renewChanged()
	p.mu.Unlock()
	close(changed)
	out.send()
	p.poke()
	p.offers()
	p.event.emit(EventWorkerReady, m.id, "", "")
	p.breaker.started()
	p.log.Debug("worker ready", "worker", m.id, "pid", d.Process.PID, "slots", m.slots)
}

// attend waits for the death of the seat's worker, or sees it off when tenure ends.
func (p *pool) attend(life, tenure context.Context, st *seat, worker Worker, s *seats) error {
	m := st.member
	s.records.claim(m.id, p.name, worker.Description().Process)
	endHeartbeat := p.startHeartbeat(life, m, worker)
	defer endHeartbeat()
	select {
	case <-worker.Done():
		p.log.Warn("worker died", "worker", m.id, "error", worker.Err())
		p.note(st, worker.Err())
		p.lost(m, worker.Err())
	case <-m.unfit:
		if err := p.seeOff(life, m, worker, drainBound); err != nil {
			return err
		}
	case <-tenure.Done():
		retired, patience := p.notice(st)
		if !retired && life.Err() != nil && s.leaving.Load() && p.letGo(m, worker) {
			return nil
		}
		if err := p.seeOff(life, m, worker, patience); err != nil {
			return err
		}
	}
	p.bury(m)
	s.records.release(m.id)
	p.poke()
	return nil
}

// notice says whether a seat was retired, and how long its worker's calls may go on.
func (p *pool) notice(st *seat) (retired bool, patience time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return st.retired, st.patience
}

// letGo leaves a worker to the next host, and reports whether it did: one that was to
// end anyway, or whose calls don't stop, is none to go on with.
func (p *pool) letGo(m *member, worker Worker) bool {
	leaver, ok := worker.(Leaver)
	if !ok || !p.withdrawIf(m, WorkerStopping, func() bool { return m.state == WorkerReady && m.busy == 0 }) {
		return false
	}
	leaver.Leave()
	return true
}

// seeOff drains a worker and sees to its end.
func (p *pool) seeOff(life context.Context, m *member, worker Worker, patience time.Duration) error {
	p.drain(life, m, worker, patience)
	return p.see(life, m, worker)
}

// drain takes a worker out of service and lets its calls end, for as long as
// patience. What goes on beyond that ends with the worker. At the end of life
// nothing is waited for: the host has had patience by then.
func (p *pool) drain(life context.Context, m *member, worker Worker, patience time.Duration) {
	quiet := p.serveOut(m)
	bound := time.NewTimer(patience)
	defer bound.Stop()
	select {
	case <-quiet:
	case <-worker.Done():
	case <-life.Done():
	case <-bound.C:
		cause := errdefs.New(errdefs.WorkerCrashed, "worker %s was to be replaced, and its calls went on for %s", m.id, patience)
		p.end(life, m, worker, cause)
	}
}

// serveOut begins to drain a worker that is to serve those who wait for it alone,
// and returns what is closed when its last call has ended.
func (p *pool) serveOut(m *member) <-chan struct{} {
	p.mu.Lock()
	m.serves = true
	p.mu.Unlock()
	quiet, _ := p.retreat(m)
	return quiet
}

// see sees to it that a worker ends. One that doesn't, such as a process that
// hangs in the kernel, holds nothing up but the end of the host.
func (p *pool) see(life context.Context, m *member, worker Worker) error {
	err := p.stop(life, m, worker)
	if err == nil || life.Err() != nil {
		return err
	}
	p.log.Error("worker could not be stopped", "worker", m.id, "error", err)
	select {
	case <-worker.Done():
		return nil
	case <-life.Done():
		return p.stop(life, m, worker)
	}
}

func (p *pool) stop(ctx context.Context, m *member, worker Worker) error {
	p.withdraw(m, WorkerStopping)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg().Settings.StopTimeout+killWait)
	defer cancel()
	if err := worker.Stop(bounded); err != nil {
		return fmt.Errorf("stop worker %s: %w", m.id, err)
	}
	<-worker.Done()
	return nil
}

// kill ends the worker of a grant, which doesn't obey.
func (p *pool) kill(ctx context.Context, g *grant, cause error) {
	p.end(ctx, g.member, g.worker, cause)
}

// end ends a worker at once, and reports whether it did: only the first of those
// who want that does it.
func (p *pool) end(ctx context.Context, m *member, worker Worker, cause error) bool {
	if !p.withdraw(m, WorkerStopping) {
		return false
	}
	p.log.Warn("worker killed", "worker", m.id, "error", cause)
	p.event.emit(EventWorkerKilled, m.id, errdefs.ReasonOf(cause), cause.Error())
	p.countEnd(m, cause)
	if k, ok := worker.(Killer); ok {
		k.Kill(cause)
		return true
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg().Settings.StopTimeout+killWait)
	defer cancel()
	if err := worker.Stop(bounded); err != nil {
		p.log.Error("worker could not be stopped", "worker", m.id, "error", err)
	}
	return true
}

// note remembers how a seat's worker ended.
func (p *pool) note(st *seat, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st.fault = err
}

func (p *pool) bury(m *member) {
	p.withdraw(m, WorkerDead)
	p.mu.Lock()
	m.worker = nil
	p.mu.Unlock()
}

// withdraw takes a worker out of service, and reports whether it did. Calls that
// wait for this worker alone are told at once, unless it drains and still serves them.
func (p *pool) withdraw(m *member, to WorkerState) bool {
	return p.withdrawIf(m, to, func() bool { return true })
}

// withdrawIf is withdraw under a condition, which is looked at under the pool's mutex.
func (p *pool) withdrawIf(m *member, to WorkerState, still func() bool) bool {
	var out answers
	done := p.takeOut(m, to, still, &out)
	out.send()
	return done
}

func (p *pool) takeOut(m *member, to WorkerState, still func() bool, out *answers) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	served := m.state == WorkerReady
	if !still() || !m.transition(to) {
		return false
	}
	if served {
		p.ready--
		p.open -= m.slots
		p.unlist(m)
	}
	if to == WorkerDead {
		delete(p.serving, m.id)
	}
	if to != WorkerDraining || !m.serves {
		p.unpin(m, out)
	}
	return true
}

// member finds a worker by its id; nil when it isn't there any more.
func (p *pool) member(id WorkerID) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if m.id == id && !m.gone() {
			return m
		}
	}
	return nil
}

// alive reports whether a session's home can still be that.
func (p *pool) alive(m *member) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return m != nil && !m.gone()
}
