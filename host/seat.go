package host

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// seats is what every seat of a host shares.
type seats struct {
	launcher Launcher
	serve    ToolServer
	records  *records
	slots    chan struct{} // bounds how many workers start at once
	newID    func(pool string) WorkerID
	leaving  *atomic.Bool // the workers are to outlive the host
}

// keep has a worker in one seat of the pool until ctx ends: it goes on with the
// survivor that sits there (nil: none), else launches one, waits for its death, and
// after a backoff launches the next. It returns once the last one is gone; an error
// says that it isn't.
func (p *pool) keep(ctx context.Context, seat int, survivor *member, s *seats) error {
	var b backoff
	if survivor != nil {
		if err := p.resume(ctx, survivor, s); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		m := newMember(p, s.newID(p.name))
		p.sit(seat, m)
		worker, err := p.launch(ctx, m, s)
		if err != nil {
			p.startFailed(ctx, m, err)
			b.failedToStart()
		} else {
			p.welcome(m, worker)
			if err := p.attend(ctx, m, worker, s); err != nil {
				return err
			}
			b.died(time.Since(m.launched))
		}
		sleep(ctx, max(b.delay(), p.vacancy(m)))
	}
	return nil
}

// sit puts a member into its seat, in place of the dead one before it.
func (p *pool) sit(seat int, m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.members[seat] != nil {
		p.replaced++
	}
	p.members[seat] = m
}

func (p *pool) launch(ctx context.Context, m *member, s *seats) (Worker, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	startCtx, cancel := context.WithTimeout(ctx, p.cfg().StartTimeout)
	defer cancel()
	return s.launcher.Launch(startCtx, p.spec(m), s.serve)
}

func (p *pool) spec(m *member) Spec {
	return Spec{Pool: p.name, Worker: m.id, Command: p.cfg().Command, Settings: p.cfg().Settings, Timeout: p.cfg().StartTimeout}
}

// startFailed records why; a launch that was cut short by the end of the host
// says nothing about the adapter.
func (p *pool) startFailed(ctx context.Context, m *member, err error) {
	if ctx.Err() == nil {
		err = p.asStartFailed(m, err)
		p.log.Error("worker could not start", "worker", m.id, "error", err)
		p.event.emit(EventStartFailed, m.id, errdefs.ReasonOf(err), err.Error())
	}
	p.mu.Lock()
	m.transition(WorkerDead)
	if ctx.Err() == nil {
		p.startErr = err
	}
	serving := p.ready > 0
	changed := p.renewChanged()
	p.mu.Unlock()
	close(changed)
	if ctx.Err() == nil && !serving {
		p.breaker.startFailed(time.Now(), err)
	}
}

// asStartFailed makes an error that doesn't say what to do about the start, such as
// a timeout, start_failed.
func (p *pool) asStartFailed(m *member, err error) error {
	if !saysWhatToDo(errdefs.ReasonOf(err)) {
		if fromContext(err) {
			err = errdefs.Wrap(errdefs.StartFailed, err, "the worker wasn't ready after %s", p.cfg().StartTimeout)
		} else {
			err = errdefs.Wrap(errdefs.StartFailed, err, "the worker could not start")
		}
	}
	return locate(err, errdefs.Where{Node: p.node, Pool: p.name, Worker: string(m.id)})
}

func saysWhatToDo(r errdefs.Reason) bool {
	return r == errdefs.StartFailed || r == errdefs.VersionMismatch || r == errdefs.DiskFull
}

// welcome takes a worker into service and gives its slots to those who wait.
func (p *pool) welcome(m *member, worker Worker) {
	d := worker.Description()
	p.tools.Store(newToolset(d.Tools))
	p.mu.Lock()
	m.transition(WorkerReady)
	m.worker, m.done, m.process, m.slots = worker, worker.Done(), d.Process, min(max(d.Slots, 1), maxSlots)
	p.serving[m.id] = m
	p.ready++
	p.everReady, p.startErr = true, nil
	var out answers
	p.handOn(m, &out)
	changed := p.renewChanged()
	p.mu.Unlock()
	close(changed)
	out.send()
	p.event.emit(EventWorkerReady, m.id, "", "")
	p.breaker.started()
	p.log.Debug("worker ready", "worker", m.id, "pid", d.Process.PID, "slots", m.slots)
}

// attend waits for the worker's death, or stops it, or leaves it, when ctx ends.
func (p *pool) attend(ctx context.Context, m *member, worker Worker, s *seats) error {
	s.records.claim(m.id, p.name, worker.Description().Process)
	endHeartbeat := p.startHeartbeat(ctx, m, worker)
	defer endHeartbeat()
	select {
	case <-worker.Done():
		p.log.Warn("worker died", "worker", m.id, "error", worker.Err())
		p.lost(m, worker.Err())
	case idle := <-m.unfit:
		if err := p.retired(ctx, m, worker, idle); err != nil {
			return err
		}
	case <-ctx.Done():
		if leaver, ok := worker.(Leaver); ok && s.leaving.Load() {
			p.withdraw(m, WorkerStopping)
			leaver.Leave()
			return nil
		}
		if err := p.stop(ctx, m, worker); err != nil {
			return err
		}
	}
	p.bury(m)
	s.records.release(m.id)
	return nil
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

// end ends a worker at once; only the first of those who want that does it.
func (p *pool) end(ctx context.Context, m *member, worker Worker, cause error) {
	if !p.withdraw(m, WorkerStopping) {
		return
	}
	p.log.Warn("worker killed", "worker", m.id, "error", cause)
	p.event.emit(EventWorkerKilled, m.id, errdefs.ReasonOf(cause), cause.Error())
	p.countEnd(m, cause)
	if k, ok := worker.(Killer); ok {
		k.Kill(cause)
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg().Settings.StopTimeout+killWait)
	defer cancel()
	if err := worker.Stop(bounded); err != nil {
		p.log.Error("worker could not be stopped", "worker", m.id, "error", err)
	}
}

func (p *pool) bury(m *member) {
	p.withdraw(m, WorkerDead)
	p.mu.Lock()
	m.worker = nil
	p.mu.Unlock()
}

// withdraw takes a worker out of service, and reports whether it did. Calls that
// wait for this worker alone are told at once.
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
		p.unlist(m)
	}
	if to == WorkerDead {
		delete(p.serving, m.id)
	}
	p.unpin(m, out)
	return true
}

// member finds a worker by its id; nil when it isn't there any more.
func (p *pool) member(id WorkerID) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if m != nil && m.id == id && !m.gone() {
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
