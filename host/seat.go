package host

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// seats is what every seat of a host shares.
type seats struct {
	launcher Launcher
	serve    ToolServer
	records  *records
	launches *launches
	newID    func(pool string) WorkerID
	leaving  *atomic.Bool // the workers are to outlive the host
}

// seat is a place for a worker, which outlives those that sit there.
type seat struct {
	number  int
	retire  context.CancelFunc // its worker is drained and stopped, and no other follows
	expects *member            // the survivor that sits there before the first launch; nil: none
	guest   bool               // nobody follows that one
	since   time.Time          // when a guest came

	// The pool's mutex guards these. The steward alone sets the first two, before it
	// calls retire.
	retired  bool
	patience time.Duration // for how long its worker's calls may go on
	member   *member
	fault    error // how its latest worker ended or why it couldn't start, if that wasn't wanted
	vacant   bool  // retired, and its last worker is gone
}

// keep has a worker in the seat until tenure, a part of life, ends: it goes on
// with the survivor that sits there, else launches one, waits for its death, and
// after a backoff launches the next. When tenure ends before life does, the last
// one is drained. It returns once that is gone; an error says that it isn't.
func (p *pool) keep(life, tenure context.Context, st *seat, s *seats) error {
	defer p.vacate(life, st)
	var b backoff
	if st.expects != nil {
		if err := p.resume(life, tenure, st, s); err != nil {
			return err
		}
		if st.guest {
			return nil
		}
		sleep(tenure, p.vacancy(st.expects))
	}
	for tenure.Err() == nil {
		m := newMember(p, st.number, s.newID(p.name))
		p.occupy(st, m)
		worker, err := p.launch(tenure, m, s)
		if err != nil {
			p.startFailed(tenure, st, m, err)
			b.failedToStart()
		} else {
			p.welcome(m, worker)
			if err := p.attend(life, tenure, st, worker, s); err != nil {
				return err
			}
			b.died(time.Since(m.launched))
		}
		sleep(tenure, max(b.delay(), p.vacancy(m)))
	}
	return nil
}

func (p *pool) occupy(st *seat, m *member) {
	p.sit(m)
	p.mu.Lock()
	defer p.mu.Unlock()
	st.member = m
}

// sit lists a member in its seat's place, instead of the dead one before it.
func (p *pool) sit(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, taken := p.indexOf(m.seat)
	if taken {
		p.replaced++
		p.members[i] = m
		return
	}
	p.members = slices.Insert(p.members, i, m)
}

func (p *pool) indexOf(seat int) (int, bool) {
	return slices.BinarySearchFunc(p.members, seat, func(m *member, n int) int { return cmp.Compare(m.seat, n) })
}

// vacate takes a retired seat off the list. At the end of the host it stays there,
// to show what has become of its worker.
func (p *pool) vacate(life context.Context, st *seat) {
	p.mu.Lock()
	st.vacant = true
	if i, there := p.indexOf(st.number); there && life.Err() == nil {
		p.members = slices.Delete(p.members, i, i+1)
	}
	p.mu.Unlock()
	p.poke()
}

func (p *pool) launch(ctx context.Context, m *member, s *seats) (Worker, error) {
	if err := p.batches.enter(ctx, p.batch); err != nil {
		return nil, err
	}
	defer p.batches.leave()
	if err := s.launches.enter(ctx, p.line); err != nil {
		return nil, err
	}
	defer s.launches.leave()
	startCtx, cancel := context.WithTimeout(ctx, p.cfg().StartTimeout)
	defer cancel()
	worker, err := s.launcher.Launch(startCtx, p.spec(m), s.serve)
	if err != nil {
		return nil, err
	}
	return p.checked(ctx, worker)
}

// checked ends a worker whose adapter offers a tool under a name that is the host's.
func (p *pool) checked(ctx context.Context, worker Worker) (Worker, error) {
	for _, t := range worker.Description().Tools {
		if !isReserved(t.Name) {
			continue
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg().Settings.StopTimeout+killWait)
		defer cancel()
		return nil, errors.Join(errdefs.Wrap(errdefs.StartFailed, reservedName(t.Name), "the adapter offers what it may not"), worker.Stop(bounded))
	}
	return worker, nil
}

// batch says how many workers may start at once, and how long to wait between two
// batches. A pool whose newest worker couldn't start tries one at a time until one
// does: the others would most likely do the same, at the expense of other pools.
func (p *pool) batch() (int, time.Duration) {
	p.mu.Lock()
	failing := p.startErr != nil
	p.mu.Unlock()
	cfg := p.cfg()
	size := cmp.Or(cfg.StartBatch, math.MaxInt)
	if failing {
		size = 1
	}
	return size, cfg.StartDelay
}

func (p *pool) spec(m *member) Spec {
	cfg := p.cfg()
	return Spec{
		Pool: p.name, Worker: m.id, Command: cfg.Command, Settings: cfg.Settings, Timeout: cfg.StartTimeout,
		Generation: p.generation.Load(),
	}
}

// startFailed records why; a launch that was cut short by the end of its seat says
// nothing about the adapter.
func (p *pool) startFailed(tenure context.Context, st *seat, m *member, err error) {
	cut := tenure.Err() != nil
	if !cut {
		err = p.asStartFailed(m, err)
		p.log.Error("worker could not start", "worker", m.id, "error", err)
		p.event.emit(EventStartFailed, m.id, errdefs.ReasonOf(err), err.Error())
	}
	p.mu.Lock()
	m.transition(WorkerDead)
	if !cut {
		p.startErr, st.fault = err, err
	}
	serving := p.ready > 0
	changed := p.renewChanged()
	p.mu.Unlock()
	close(changed)
	p.poke()
	if !cut && !serving {
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
