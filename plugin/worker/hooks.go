package worker

import (
	"context"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// reserved is what the names of tools begin with that are the host's and the SDKs' own.
const reserved = "snakepit."

// Hooks hear of the sessions whose home the worker is; each may be nil. They run as
// calls of the session, in turn with its others: they have its deadline, are
// cancelled like them, and their errors are the call's.
type Hooks struct {
	// Open hears that the worker is the home of a new session, before its first call.
	Open func(ctx context.Context, s *Session) error
	// Restore brings a session back that had another home, before its first call here.
	// Its state is what it was there; saved is what Save gave, nil when nobody could ask it.
	Restore func(ctx context.Context, s *Session, saved []byte) error
	// Save gives what a session is to have at the home that it's about to move to; nil:
	// nothing. It's asked when the move is planned, not when a worker or a node has died.
	Save func(ctx context.Context, s *Session) ([]byte, error)
	// Close hears that a session that had its home here has ended, or goes on elsewhere.
	Close func(ctx context.Context, s *Session, moved bool) error
}

// capabilities name the hooks that there are, for those who describe the worker.
func (h *Hooks) capabilities() []string {
	var out []string
	for _, c := range []struct {
		name string
		has  bool
	}{
		{"session_open", h.Open != nil},
		{"session_restore", h.Restore != nil},
		{"session_save", h.Save != nil},
		{"session_close", h.Close != nil},
	} {
		if c.has {
			out = append(out, c.name)
		}
	}
	return out
}

// tools are the hooks that there are, as what the host calls.
func (h *Hooks) tools() []Tool {
	var out []Tool
	add := func(name string, run func(context.Context, *Call, *Session) (any, error)) {
		out = append(out, Tool{Name: reserved + "session." + name, Run: ofSession(run)})
	}
	if h.Open != nil {
		add("open", func(ctx context.Context, _ *Call, s *Session) (any, error) { return nil, h.Open(ctx, s) })
	}
	if h.Restore != nil {
		add("restore", h.restore)
	}
	if h.Save != nil {
		add("save", h.save)
	}
	if h.Close != nil {
		add("close", h.close)
	}
	return out
}

func ofSession(run func(context.Context, *Call, *Session) (any, error)) func(context.Context, *Call) (any, error) {
	return func(ctx context.Context, c *Call) (any, error) {
		s := c.Session()
		if s == nil {
			return nil, errdefs.New(errdefs.InvalidArguments, "%s is about a session, and this call belongs to none", c.Tool())
		}
		return run(ctx, c, s)
	}
}

func (h *Hooks) restore(ctx context.Context, c *Call, s *Session) (any, error) {
	var in struct {
		State map[string][]byte `json:"state"`
		Saved []byte            `json:"saved"`
	}
	if err := c.hookArgs(&in); err != nil {
		return nil, err
	}
	s.state = make(map[string]stateValue, len(in.State))
	for key, raw := range in.State {
		s.state[key] = stateValue{bytes: raw, bare: true}
	}
	return nil, h.Restore(ctx, s, in.Saved)
}

func (h *Hooks) save(ctx context.Context, _ *Call, s *Session) (any, error) {
	saved, err := h.Save(ctx, s)
	if saved == nil || err != nil {
		return nil, err
	}
	return saved, nil
}

func (h *Hooks) close(ctx context.Context, c *Call, s *Session) (any, error) {
	var in struct {
		Moved bool `json:"moved"`
	}
	if err := c.hookArgs(&in); err != nil {
		return nil, err
	}
	return nil, h.Close(ctx, s, in.Moved)
}

// hookArgs decodes what the host sends with a hook. A later host may send more.
func (c *Call) hookArgs(out any) error {
	if err := values.Decode(c.from.Request().Payload, out); err != nil {
		return errdefs.Wrap(errdefs.InvalidArguments, err, "the arguments of %s", c.Tool())
	}
	return nil
}
