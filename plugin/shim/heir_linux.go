package shim

import (
	"cmp"
	"context"
	"time"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// heirTime is how long an heir waits for a shim's welcome: sessions wait for it, and do
// without a shim that hangs.
const heirTime = time.Second

// AttachHeir connects to the shim of another host that is dead, to go on with its
// workers: instance is that host's. It fails with [AttachedError] unless the
// process of whoever had the shim last is verifiably gone.
//
// A shim from before there were heirs takes it for its own host, come back, and is left
// again at once: it would refuse that host's next start as if there were two.
func AttachHeir(socket, instance string, s Settings) (*Client, error) {
	h := newHello(instance, s)
	h.Heir = true
	return attach(socket, h)
}

// Heir reports whether the shim was another host's.
func (c *Client) Heir() bool { return c.heir }

// Guard is the shim's guard, as the PID namespace around the pair numbers it; its pid is
// zero where the shim doesn't tell.
func (c *Client) Guard() proc.ID { return c.guard }

// Settle returns once the shim has done all that it was asked for so far. It fails
// with [ErrGone], and with ctx's error.
func (c *Client) Settle(ctx context.Context) error {
	return c.ask(ctx, request{Op: opNote}) // about nobody: that's only answered
}

// hearRefusal reads the rest of a welcome that is none.
func (c *Client) hearRefusal(w welcome) error {
	e := &AttachedError{PID: max(w.Attached, 0), Heir: w.Heir} // unseen is below
	for {
		for _, s := range w.Workers {
			e.Kept = append(e.Kept, Kept{Worker: s.Worker, Token: s.Token, Note: s.Note})
		}
		if !w.More {
			return e
		}
		var err error
		if w, err = c.readWelcome(); err != nil {
			return err // half of whom to leave alone is worse than nothing
		}
	}
}

// taken reports whether the workers have a host, for whoever says hello. Its own
// host only has to find nobody connected. An heir comes after a host that is dead: one that
// has only let go may be about to hand its workers on.
func (s *shim) taken(h hello) bool {
	switch {
	case !h.Heir:
		return s.host != nil && s.hostLives()
	case s.host != nil:
		return !s.host.peer.gone()
	default:
		return !s.former.gone()
	}
}

// refusal says who has the workers. Of an heir the former host is told whom that has:
// it leaves them alone then, and goes on without.
func (s *shim) refusal() welcome {
	w := welcome{Error: "another host has the workers", Attached: unseen}
	switch {
	case s.host == nil && s.former != nil:
		w.Attached = cmp.Or(s.former.pid, unseen)
	case s.host != nil:
		w.Attached = cmp.Or(s.host.peer.pid, unseen)
		w.Heir = s.heir
	}
	if !w.Heir {
		return w
	}
	for _, c := range s.workers {
		if c.exit == nil {
			w.Workers = append(w.Workers, c.survivor())
		}
	}
	return w
}

// forgetFormer lets go of the last host's process.
func (s *shim) forgetFormer() {
	if s.former != nil {
		s.former.close()
		s.former = nil
	}
}
