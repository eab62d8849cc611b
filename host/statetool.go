package host

import (
	"context"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// maxStateCall is more than the largest change of a state takes.
const maxStateCall = 512 << 10

// offerState makes the state of sessions reachable for the tools that run in them.
func (h *Host) offerState() {
	h.tools.builtIn(Tool{Name: stateGet, Description: "Gives the state of the calling tool's session.", Idempotent: true}, h.getState)
	h.tools.builtIn(Tool{Name: stateSet, Description: "Changes the state of the calling tool's session."}, h.setState)
}

// stateAccess is whose state a tool may reach, and under which epoch: those of the
// call that it runs for, as the engine knows it. What the worker says doesn't matter.
type stateAccess struct {
	registry StateRegistry
	session  SessionID
	epoch    uint64
}

func (h *Host) stateAccess(ctx context.Context) (stateAccess, error) {
	r, ok := h.cfg.Registry.(StateRegistry)
	if !ok {
		return stateAccess{}, errdefs.New(errdefs.Unimplemented, "this host's registry keeps no state of sessions")
	}
	if l := lineageOf(ctx); l != nil && l.grant != nil && l.grant.ticket.session != "" {
		if epoch := l.grant.epoch.Load(); epoch != 0 {
			return stateAccess{r, l.grant.ticket.session, epoch}, nil
		}
	}
	e := errdefs.New(errdefs.InvalidArguments, "only a tool that runs in a session has its state")
	e.Hint = "call the tool in a session"
	return stateAccess{}, e
}

// getState is the host tool: {} to {key: [bytes, version]}.
func (h *Host) getState(ctx context.Context, _ []byte) ([]byte, error) {
	a, err := h.stateAccess(ctx)
	if err != nil {
		return nil, err
	}
	record, err := h.cfg.Registry.Session(ctx, a.session)
	if err != nil {
		return nil, err
	}
	if record.Epoch != a.epoch {
		return nil, epochFenced(a.session, record.Epoch, a.epoch)
	}
	state, err := a.registry.State(ctx, a.session)
	if err != nil {
		return nil, err
	}
	type value struct {
		_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by the encoder

		Bytes   []byte
		Version uint64
	}
	out := make(map[string]value, len(state))
	for key, v := range state {
		out[key] = value{Bytes: v.Bytes, Version: v.Version}
	}
	return msgpack.Marshal(out)
}

// setState is the host tool: {"changes": [{"key", "value", "expected"}]} to the version.
func (h *Host) setState(ctx context.Context, args []byte) ([]byte, error) {
	a, err := h.stateAccess(ctx)
	if err != nil {
		return nil, err
	}
	changes, err := decodeChanges(args)
	if err != nil {
		return nil, err
	}
	version, err := a.registry.SetState(ctx, a.session, a.epoch, changes...)
	if err != nil {
		return nil, err
	}
	return msgpack.Marshal(version)
}

func decodeChanges(args []byte) ([]StateChange, error) {
	if len(args) > maxStateCall {
		return nil, errdefs.New(errdefs.PayloadTooLarge, "%d bytes of changes; at most %d", len(args), maxStateCall)
	}
	var in struct {
		Changes []struct {
			Key      string  `msgpack:"key"`
			Value    []byte  `msgpack:"value"`    // nil: it's deleted
			Expected *uint64 `msgpack:"expected"` // nil: whatever it has
		} `msgpack:"changes"`
	}
	if err := msgpack.Unmarshal(args, &in); err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidArguments, err, "the changes of a state can't be read")
	}
	changes := make([]StateChange, 0, len(in.Changes))
	for _, c := range in.Changes {
		change := StateChange{Key: c.Key, Value: c.Value, Delete: c.Value == nil}
		if c.Expected != nil {
			change.Compare, change.Expected = true, *c.Expected
		}
		changes = append(changes, change)
	}
	return changes, nil
}
