package cluster

import (
	"maps"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// The limits of one session's state. They stand in the rules: all nodes have the
// same.
const (
	maxKeys       = 64
	maxValue      = 4 << 10
	maxStateBytes = 64 << 10 // of keys and values
)

// Value is what a key of a session's state has. It never changes.
type Value = host.StateValue

func (s *state) setState(c *snakepitv1.SetState, at position) outcome {
	known, err := s.find(host.SessionID(c.GetId()))
	if err != nil {
		return refused(err)
	}
	if known.Epoch != c.GetEpoch() {
		return refused(errdefs.New(errdefs.Fenced, "session %q is at epoch %d, not %d", names.Cut(c.GetId()), known.Epoch, c.GetEpoch()))
	}
	values, err := changed(known.values, c.GetChanges(), at.epoch)
	if err != nil {
		return refused(err)
	}
	row := *known
	row.values = values
	s.sessions[row.ID] = &row
	return outcome{version: at.epoch}
}

// changed is a state after changes, which are made wholly or not at all.
func changed(values map[string]Value, changes []*snakepitv1.StateChange, version uint64) (map[string]Value, *errdefs.Error) {
	next := maps.Clone(values)
	if next == nil {
		next = map[string]Value{}
	}
	seen := map[string]bool{}
	for _, c := range changes {
		if seen[c.GetKey()] {
			return nil, errdefs.New(errdefs.InvalidArguments, "key %q is changed twice", names.Cut(c.GetKey()))
		}
		seen[c.GetKey()] = true
		if had := next[c.GetKey()].Version; c.Expected != nil && had != c.GetExpected() {
			return nil, errdefs.New(errdefs.Conflict, "key %q is at version %d, not %d", names.Cut(c.GetKey()), had, c.GetExpected())
		}
		if c.Value == nil {
			delete(next, c.GetKey())
			continue
		}
		if len(c.GetKey()) == 0 || len(c.GetKey()) > names.MaxID || len(c.GetValue()) > maxValue {
			return nil, errdefs.New(errdefs.PayloadTooLarge, "a key of %d bytes with %d, where %d and %d are the limits", len(c.GetKey()), len(c.GetValue()), names.MaxID, maxValue)
		}
		next[c.GetKey()] = Value{Bytes: c.GetValue(), Version: version}
	}
	return next, checkSize(next)
}

func checkSize(values map[string]Value) *errdefs.Error {
	size := 0
	for key, v := range values {
		size += len(key) + len(v.Bytes)
	}
	if len(values) > maxKeys || size > maxStateBytes {
		return errdefs.New(errdefs.PayloadTooLarge, "a session's state of %d keys and %d bytes, where %d and %d are the limits", len(values), size, maxKeys, maxStateBytes)
	}
	return nil
}
