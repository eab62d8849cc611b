package host

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// greet runs the hook that comes before the first call on a session's home, in the
// slot of that call, which isn't started when it fails. Of a concurrent session's
// calls one does so, and the others wait for it.
//
// An attempt along with an error is a hook that doesn't stop: it holds what the call
// had until it has.
func (c *Call) greet(ctx context.Context, v *visit, g *grant) (*attempt, error) {
	for v != nil && v.due != "" {
		done, wait := v.session.move(g)
		if done == nil {
			if err := v.awaitHook(ctx, g, wait); err != nil {
				return nil, err
			}
			continue
		}
		err := v.look(g) // the one before may have done it
		var a *attempt
		if err == nil && v.due != "" {
			a, err = c.hook(ctx, v, g)
		}
		if a != nil {
			a.over = done
			return a, err
		}
		done()
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// awaitHook waits for the call that runs the hook.
func (v *visit) awaitHook(ctx context.Context, g *grant, wait <-chan struct{}) error {
	if v.session.movedWithin(g.ticket.line) {
		return ownAncestor()
	}
	select {
	case <-wait:
		return v.look(g)
	case <-ctx.Done():
		return ended(ctx, "while another call of its session ran a hook")
	}
}

// look sees which hook is due now, if the worker is still the session's home.
func (v *visit) look(g *grant) error {
	s := v.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stale(); err != nil {
		return err
	}
	if s.home != g.member {
		return errElsewhere
	}
	v.due = s.due
	return nil
}

// hook runs the hook that is due, if the worker's adapter has it.
func (c *Call) hook(ctx context.Context, v *visit, g *grant) (*attempt, error) {
	if !slices.Contains(g.member.hooks, v.due) {
		v.greeted()
		return nil, nil
	}
	payload, err := v.introduction(ctx)
	if err != nil {
		return nil, err
	}
	p := g.member.pool
	took := errdefs.New(errdefs.Deadline, "it took longer than start_timeout, %s,", p.cfg().StartTimeout)
	bounded, cancel := context.WithTimeoutCause(ctx, p.cfg().StartTimeout, took)
	defer cancel()
	a := &attempt{call: c, grant: g, visit: v, began: c.host.clock()}
	a.run, err = g.worker.Start(bounded, hookCall(bounded, c.id, hookRun{hook: v.due, id: v.session.id, epoch: v.epoch, local: v.local, payload: payload}))
	if err != nil {
		return nil, c.notStarted(ctx, g, err)
	}
	if _, err = lastOf(bounded, a.run); err == nil {
		v.greeted()
		return nil, nil
	}
	a.mourn(err)
	err = hookFailed(v.due, p, g.member, err)
	if isDone(a.run.Done()) {
		return nil, err
	}
	return a, err
}

// introduction is what the hook that is due gets.
func (v *visit) introduction(ctx context.Context) ([]byte, error) {
	if v.due != hookRestore {
		return emptyMap(), nil
	}
	in := struct {
		State map[string][]byte `msgpack:"state"`
		Saved []byte            `msgpack:"saved"` // nil: nothing
	}{map[string][]byte{}, v.session.keeps()}
	if r, ok := v.table.registry.(StateRegistry); ok {
		state, err := r.State(ctx, v.session.id)
		if err != nil {
			return nil, err
		}
		for key, value := range state {
			in.State[key] = value.Bytes
		}
	}
	return msgpack.Marshal(in)
}

// greeted notes that the session's home has had its hook.
func (v *visit) greeted() {
	s := v.session
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened, s.due, s.saved = true, "", nil
	v.due = ""
}

// keep holds on to what was saved of the session, for its next home.
func (s *session) keep(saved []byte) {
	if saved == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = saved
}

func (s *session) keeps() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved
}

func emptyMap() []byte { return []byte{0x80} } // in msgpack

func hookCall(ctx context.Context, id string, r hookRun) Invocation {
	inv := Invocation{ID: id, Tool: r.hook, Payload: r.payload, Session: r.id, Epoch: r.epoch, Local: r.local}
	inv.Deadline, _ = ctx.Deadline()
	return inv
}

// lastOf gives the result of a run. When ctx ends first the run is cancelled, and may
// go on for a while.
func lastOf(ctx context.Context, run Running) ([]byte, error) {
	for {
		m, err := run.Recv(ctx)
		switch {
		case err == nil && m.Last:
			return m.Payload, nil
		case err == nil:
			continue
		}
		var own *errdefs.Error
		if fromContext(err) && !errors.As(err, &own) {
			err = ended(ctx, "while the hook ran")
		}
		run.Cancel(err)
		return nil, err
	}
}

// hookFailed is what the call is told before which a hook failed: itself it hasn't run.
func hookFailed(hook string, p *pool, m *member, err error) error {
	e := *errdefs.Of(err)
	p.judge(m, &e)
	e.Message = methodOf(hook) + ": " + e.Message
	e.MayHaveRun = false
	if e.Hint == "" {
		e.Hint = "the tool hasn't run"
	}
	return &e
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// closeWait is how long the next call under a closed session's id waits for the hook of
// the session's end; partWait is for those ends that nobody waits for.
const (
	closeWait = 2 * time.Second
	partWait  = 30 * time.Second
)
