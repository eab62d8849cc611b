package plugin

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"github.com/snakepit-go/snakepit/plugin/shim"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// leaseOver is the deadline of a lease that ended long ago.
const leaseOver = 1

// inherit implements nursery.
func (s *shims) inherit(ctx context.Context, e Estate) ([]legacy, error) {
	sockets, err := socketsIn(e.Dir)
	if err != nil {
		return nil, err
	}
	var all []legacy
	for _, socket := range sockets {
		p, err := s.inheritFrom(ctx, socket, e)
		if err != nil {
			for _, other := range all {
				other.release()
			}
			return nil, err
		}
		if p != nil {
			all = append(all, p.legacy())
		}
	}
	return all, nil
}

// inheritFrom takes over one pair; nil: nobody listens there any more.
func (s *shims) inheritFrom(ctx context.Context, socket string, e Estate) (*heirloom, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	settings := s.cfg.Settings
	settings.Deadline = leaseOver
	c, err := shim.AttachHeir(socket, e.Instance, settings)
	var attached *shim.AttachedError
	switch {
	case errors.As(err, &attached):
		return nil, errdefs.Wrap(errdefs.Exists, err, "the workers in %s belong to a live host", e.Dir)
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // there's none, and that's no error
	case err != nil:
		return nil, errdefs.Wrap(errdefs.WorkerNotFound, err, "the shim that keeps the workers in %s", e.Dir)
	}
	p := &heirloom{s: s, c: c, gone: make(chan struct{})}
	if !p.begin() {
		_ = c.Detach(s.cfg.Grace) // it may have ended
		_ = c.Run()               // as above
		return nil, errStopped()
	}
	return p, nil
}

// heirloom is a pair of another host that is dead, in our hands.
type heirloom struct {
	s    *shims
	c    *shim.Client
	gone chan struct{} // closed when the client's run has ended, and with it the pair or our hold of it
}

func (p *heirloom) legacy() legacy {
	return legacy{found: foundBy(p.c), keep: p.keep, end: p.end, release: p.release}
}

// begin has it watched, unless the host has stopped.
func (p *heirloom) begin() bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.over {
		return false
	}
	p.s.taking = append(p.s.taking, p.c)
	p.s.pairs.Go(func() {
		defer close(p.gone)
		p.s.watch(p.c, func() error { return awaitGuard(p.c.Guard()) })
	})
	return true
}

// keep makes it one of our live pairs: from here on it has our lease, and what was frozen
// goes on under that.
func (p *heirloom) keep(ctx context.Context) error {
	err := p.enter()
	if err == nil {
		err = p.c.Settle(ctx)
	}
	if errors.Is(err, shim.ErrGone) {
		return errdefs.Wrap(errdefs.WorkerNotFound, err, "the process that keeps the workers died while they were adopted")
	}
	return err
}

// enter sends the lease while nobody can set another: the newest one must come last.
func (p *heirloom) enter() error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	isIt := func(other *shim.Client) bool { return other == p.c }
	switch {
	case p.s.over:
		return errStopped()
	case !slices.ContainsFunc(p.s.taking, isIt):
		return shim.ErrGone
	}
	p.s.taking = slices.DeleteFunc(p.s.taking, isIt)
	p.s.live = append(p.s.live, p.c)
	return p.c.SetLease(p.s.deadline) // it's queued
}

func (p *heirloom) end() {
	_ = p.c.End() // it may have ended
	<-p.gone
}

func (p *heirloom) release() {
	_ = p.c.Detach(p.s.cfg.Grace) // as above
	<-p.gone
}
