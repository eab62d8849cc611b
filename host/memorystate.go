package host

import (
	"context"
	"maps"
	"unicode/utf8"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// The bounds of one session's state.
const (
	maxStateKeys  = 64
	maxStateValue = 4 << 10
	maxStateBytes = 64 << 10 // of keys and values
)

// State implements [StateRegistry].
func (r *MemoryRegistry) State(_ context.Context, id SessionID) (map[string]StateValue, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.find(id); err != nil {
		return nil, err
	}
	state := maps.Clone(r.states[id])
	if state == nil {
		state = map[string]StateValue{}
	}
	return state, nil
}

// SetState implements [StateRegistry].
func (r *MemoryRegistry) SetState(_ context.Context, id SessionID, epoch uint64, changes ...StateChange) (version uint64, err error) {
	if len(changes) == 0 || len(changes) > maxStateKeys {
		return 0, errdefs.New(errdefs.InvalidArguments, "%d changes, which aren't 1 to %d", len(changes), maxStateKeys)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.find(id)
	if err != nil {
		return 0, err
	}
	if s.Epoch != epoch {
		return 0, epochFenced(id, s.Epoch, epoch)
	}
	next, err := changed(r.states[id], changes, r.epoch+1)
	if err != nil {
		return 0, err
	}
	r.epoch++
	r.states[id] = next
	return r.epoch, nil
}

// changed is a state after changes, which are made wholly or not at all.
func changed(state map[string]StateValue, changes []StateChange, version uint64) (map[string]StateValue, error) {
	next := make(map[string]StateValue, len(state)+len(changes))
	maps.Copy(next, state)
	seen := make(map[string]bool, len(changes))
	for _, c := range changes {
		if err := c.validate(); err != nil {
			return nil, err
		}
		if seen[c.Key] {
			return nil, errdefs.New(errdefs.InvalidArguments, "key %q is changed twice", names.Cut(c.Key))
		}
		seen[c.Key] = true
		if had := next[c.Key].Version; c.Compare && had != c.Expected {
			return nil, errdefs.New(errdefs.Conflict, "key %q is at version %d, not %d", names.Cut(c.Key), had, c.Expected)
		}
		if c.Delete {
			delete(next, c.Key)
			continue
		}
		next[c.Key] = StateValue{Bytes: append([]byte{}, c.Value...), Version: version}
	}
	return next, fits(next)
}

func (c StateChange) validate() error {
	if c.Key == "" || len(c.Key) > names.MaxID || !utf8.ValidString(c.Key) {
		return errdefs.New(errdefs.InvalidArguments, "a key isn't 1 to %d bytes of UTF-8", names.MaxID)
	}
	if len(c.Value) > maxStateValue {
		return errdefs.New(errdefs.PayloadTooLarge, "key %q has a value of %d bytes, and %d is the limit", names.Cut(c.Key), len(c.Value), maxStateValue)
	}
	return nil
}

func fits(state map[string]StateValue) error {
	size := 0
	for key, v := range state {
		size += len(key) + len(v.Bytes)
	}
	if len(state) > maxStateKeys || size > maxStateBytes {
		return errdefs.New(errdefs.PayloadTooLarge, "a session's state of %d keys and %d bytes, where %d and %d are the limits",
			len(state), size, maxStateKeys, maxStateBytes)
	}
	return nil
}

func epochFenced(id SessionID, is, want uint64) error {
	return errdefs.New(errdefs.Fenced, "session %q is at epoch %d, not %d", names.Cut(string(id)), is, want)
}
