package cluster

import (
	"context"
	"maps"
	"unicode/utf8"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Change changes one key of a session's state.
type Change = host.StateChange

// State gives a session's state: its keys, values and versions. It's read from
// memory, and the values must not be changed.
func (n *Node) State(ctx context.Context, id host.SessionID) (map[string]Value, error) {
	if err := n.check(ctx); err != nil {
		return nil, err
	}
	row, missing := n.machine.session(id)
	if missing != nil {
		return nil, missing
	}
	return maps.Clone(row.values), nil
}

// SetState changes a session's state, wholly or not at all, and returns the version
// that all it set have now. It's on disk when it returns. epoch is the one under
// which the caller owns the session. A state has at most 64 keys and 64 KiB.
// Errors: fenced when the session has another epoch; conflict when a key has another
// version; payload_too_large; session_not_found; session_expired; those of a write.
func (n *Node) SetState(ctx context.Context, id host.SessionID, epoch uint64, changes ...Change) (version uint64, err error) {
	if err := validateSession(host.Session{ID: id}); err != nil {
		return 0, err
	}
	wire, err := changesToWire(changes)
	if err != nil {
		return 0, err
	}
	o, err := n.propose(ctx, setState(id, epoch, wire))
	return o.version, err
}

func changesToWire(changes []Change) ([]*snakepitv1.StateChange, error) {
	if len(changes) == 0 || len(changes) > maxKeys {
		return nil, errdefs.New(errdefs.InvalidArguments, "%d changes, which aren't 1 to %d", len(changes), maxKeys)
	}
	wire := make([]*snakepitv1.StateChange, 0, len(changes))
	for _, c := range changes {
		if !utf8.ValidString(c.Key) || c.Key == "" || len(c.Key) > names.MaxID {
			return nil, errdefs.New(errdefs.InvalidArguments, "a key isn't 1 to %d bytes of UTF-8", names.MaxID)
		}
		if len(c.Value) > maxValue {
			return nil, errdefs.New(errdefs.PayloadTooLarge, "key %q has a value of %d bytes, and %d is the limit", names.Cut(c.Key), len(c.Value), maxValue)
		}
		w := &snakepitv1.StateChange{Key: c.Key}
		if !c.Delete {
			w.Value = append([]byte{}, c.Value...)
		}
		if c.Compare {
			w.Expected = new(c.Expected)
		}
		wire = append(wire, w)
	}
	return wire, nil
}
