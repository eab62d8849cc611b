package host

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// An Ender is a run that can say how it ended although nobody has read that yet. The
// engine looks for it before it uses the run's worker again.
type Ender interface {
	// End is the error that the run ended with, once Done is closed: the tool's, or
	// whatever cancelled it; nil for a result.
	End() error
}

// exitCode is how a shell on Linux would name the exit: it adds 128 to a signal's
// number. It's -1 for a signal that nobody taints a seat for.
func exitCode(x *errdefs.Exit) int {
	switch x.Signal {
	case "SIGILL":
		return 132
	case "SIGTRAP":
		return 133
	case "SIGABRT":
		return 134
	case "SIGBUS":
		return 135
	case "SIGFPE":
		return 136
	case "SIGKILL":
		return 137
	case "SIGSEGV":
		return 139
	case "SIGTERM":
		return 143
	case "SIGSYS":
		return 159
	}
	return x.Code
}

// taints reports whether the end of a worker taints its seat.
func (b Barrier) taints(x *errdefs.Exit) bool {
	return x != nil && slices.Contains(b.ExitCodes, exitCode(x))
}

// splitErrorType takes "RuntimeError: CUDA error" apart: the class, and what the
// message must contain.
func splitErrorType(t string) (class, text string) {
	class, text, _ = strings.Cut(t, ":")
	return strings.TrimSpace(class), strings.TrimSpace(text)
}

// matches gives the error type that an exception, or a class that it derives from, is one of.
func (b Barrier) matches(x *errdefs.Exception) (errorType string, ok bool) {
	if x == nil {
		return "", false
	}
	for _, t := range b.ErrorTypes {
		class, text := splitErrorType(t)
		if strings.Contains(x.Message, text) && (isClass(x.Type, class) || slices.ContainsFunc(x.Bases, func(b string) bool { return isClass(b, class) })) {
			return t, true
		}
	}
	return "", false
}

// isClass compares a class's full name with one that may lack the module.
func isClass(full, name string) bool {
	return full == name || strings.HasSuffix(full, "."+name)
}

// judge draws the conclusions from how a run ended, before its slot is given to
// anyone else. It asks only when there may be any.
func (a *attempt) judge() {
	p := a.grant.member.pool
	probe := a.call.probe.Swap(0)
	if probe == 0 && p.breaker.quiet.Load() && len(p.cfg().Barrier.ErrorTypes) == 0 {
		return
	}
	run, ok := a.run.(Ender)
	if !ok {
		p.breaker.giveBack(probe)
		return
	}
	err := run.End()
	if answered(err) {
		p.breaker.succeeded(probe)
	} else {
		p.breaker.giveBack(probe)
	}
	var e *errdefs.Error
	if errors.As(err, &e) {
		p.judge(a.grant.member, e)
	}
}

// judge taints the worker of a call that ended with one of the barrier's exceptions:
// something below Python is broken. The calls that run on it may end, then it's
// stopped and replaced.
func (p *pool) judge(m *member, e *errdefs.Error) {
	t, ok := p.cfg().Barrier.matches(e.Exception)
	if !ok {
		return
	}
	if did := p.taint(m); !did {
		return // somebody else ends it
	}
	p.log.Warn("worker tainted", "worker", m.id, "matched", t, "error", e)
	p.event.emit(EventWorkerTainted, m.id, e.Reason, t+" matched "+e.Exception.Type+": "+e.Exception.Message)
}

// taint has a worker take no more calls, and its seat see it off.
func (p *pool) taint(m *member) bool {
	_, did := p.retreat(m)
	if did {
		m.tainted.Store(true)
		close(m.unfit)
	}
	return did
}

// answered reports whether a run ended because its worker said so, and not because
// of what became of the worker or its caller.
func answered(err error) bool {
	if err == nil {
		return true
	}
	switch errdefs.ReasonOf(err) { //nolint:exhaustive // what else a worker may say
	case errdefs.WorkerCrashed, errdefs.WorkerHung, errdefs.Draining, errdefs.Cancelled, errdefs.Deadline, errdefs.Fenced:
		return false
	}
	return true
}

// crashed tells those who keep count of a worker that crashed or hung, once.
func (p *pool) crashed(m *member, why error) {
	if m.counted.Swap(true) {
		return
	}
	var e *errdefs.Error
	killed := errors.As(why, &e) && isKill(e)
	if killed && p.lapsed() {
		return // it was frozen, and for too long
	}
	p.breaker.crashed(time.Now(), why, killed)
}

// countEnd counts a worker that is about to be killed because it hangs. One that
// is killed for any other reason did nothing wrong, whatever its exit says.
func (p *pool) countEnd(m *member, cause error) {
	if errdefs.ReasonOf(cause) == errdefs.WorkerHung {
		p.crashed(m, cause)
	}
	m.counted.Store(true)
}

// isKill reports whether a worker ended by a SIGKILL that isn't ours.
func isKill(e *errdefs.Error) bool {
	return e.Reason == errdefs.WorkerCrashed && e.Exit != nil && e.Exit.Signal == "SIGKILL"
}

// mourn takes a worker that crashed during the call out of service, rather than wait
// for its seat to notice: the next attempt shouldn't meet it.
func (a *attempt) mourn(err error) {
	if a.grant == nil || errdefs.ReasonOf(err) != errdefs.WorkerCrashed {
		return
	}
	p, m, worker := a.grant.member.pool, a.grant.member, a.grant.worker
	select {
	case <-worker.Done():
	default:
		return
	}
	if why := worker.Err(); why != nil {
		p.lost(m, why)
		p.crashed(m, why)
	}
}

// lost takes a worker out of service whose process has ended, and tells of an end
// that nobody in the pool asked for, once.
func (p *pool) lost(m *member, err error) {
	if !p.alive(m) || !p.withdraw(m, WorkerDead) || err == nil {
		return
	}
	p.event.emit(EventWorkerDied, m.id, errdefs.ReasonOf(err), err.Error())
	var e *errdefs.Error
	if !errors.As(err, &e) {
		return
	}
	conf := p.cfg().Barrier
	if conf.taints(e.Exit) && (!isKill(e) || !p.lapsed()) {
		m.tainted.Store(true)
		if conf.Taint > 0 {
			p.event.emit(EventWorkerTainted, m.id, e.Reason, e.Exit.String()+": its seat stays empty for "+conf.Taint.String())
		}
	}
	if !isKill(e) {
		p.crashed(m, err) // who kills an idle worker says nothing about the pool
	}
}

// vacancy is how long the seat of a dead worker stays empty because it was tainted.
// The taint is taken: it counts for one worker.
func (p *pool) vacancy(m *member) time.Duration {
	if !m.tainted.Swap(false) {
		return 0
	}
	return p.cfg().Barrier.Taint
}
