package worker

import (
	"context"
	"maps"
	"slices"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// The host's tools for a session's state.
const (
	stateGet = "snakepit.state.get"
	stateSet = "snakepit.state.set"
)

// maxStateValue bounds one encoded value of a state.
const maxStateValue = 4 << 10

// Session is the session that a call belongs to, and the small state that the host
// keeps for it, replicated in a cluster: at most 64 keys of 1 to 256 bytes, values of
// at most 4 KiB when encoded, 64 KiB in all. The state outlives the worker and its
// node. It's read once a call, when it's first asked for; a write goes to the host at
// once, and returns when it's kept.
//
// Like its [Call] it's used by one goroutine at a time.
type Session struct {
	ID string
	// Home says that this worker is the session's home; another one takes a call where
	// the home is busy or gone.
	Home bool
	// Epoch counts the session's owners in its cluster; zero outside of one. It's a
	// fencing token: storage that refuses a lower one than it has seen isn't written by
	// a worker whose session has gone elsewhere.
	Epoch uint64

	call  *Call
	state map[string]stateValue // nil: not read yet
}

type stateValue struct {
	bytes   []byte
	version uint64
	bare    bool // the host has told the value alone
}

// Change changes one key of a session's state.
type Change struct {
	Key      string
	Value    any
	Delete   bool   // instead of setting it
	Expected uint64 // the version that it must have, if Compare; zero: it mustn't be there
	Compare  bool
}

// Get decodes a key's value into out, a pointer, and reports whether it's there; else
// out is left alone.
func (s *Session) Get(ctx context.Context, key string, out any) (bool, error) {
	if err := s.read(ctx); err != nil {
		return false, err
	}
	v, ok := s.state[key]
	if !ok {
		return false, nil
	}
	if err := values.Decode(v.bytes, out); err != nil {
		return false, errdefs.Wrap(errdefs.InvalidResult, err, "what the session's state has as %q", key)
	}
	return true, nil
}

// Version is a key's version, which grows with each change; zero: it isn't there.
func (s *Session) Version(ctx context.Context, key string) (uint64, error) {
	if err := s.read(ctx); err != nil {
		return 0, err
	}
	if s.state[key].bare {
		s.state = nil
		if err := s.read(ctx); err != nil {
			return 0, err
		}
	}
	return s.state[key].version, nil
}

// Keys are the state's keys, sorted.
func (s *Session) Keys(ctx context.Context) ([]string, error) {
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(s.state)), nil
}

// Set sets one key, whatever it was.
func (s *Session) Set(ctx context.Context, key string, value any) error {
	_, err := s.Write(ctx, Change{Key: key, Value: value})
	return err
}

// Delete deletes one key, if it's there.
func (s *Session) Delete(ctx context.Context, key string) error {
	_, err := s.Write(ctx, Change{Key: key, Delete: true})
	return err
}

// Write makes all of the changes or none, and gives the version of what was set. It
// fails with conflict where a key hasn't the version that's expected: what Get gives
// afterwards is read anew. It fails with fenced where the session has a newer owner.
func (s *Session) Write(ctx context.Context, changes ...Change) (version uint64, err error) {
	wire := make([]map[string]any, len(changes))
	for i, c := range changes {
		if wire[i], err = c.encode(); err != nil {
			return 0, err
		}
	}
	if err := s.call.Host(ctx, stateSet, map[string]any{"changes": wire}, &version); err != nil {
		s.state = nil // it may have been kept
		return 0, err
	}
	if s.state != nil {
		s.apply(wire, version)
	}
	return version, nil
}

func (c *Change) encode() (map[string]any, error) {
	out := map[string]any{"key": c.Key}
	if c.Compare {
		out["expected"] = c.Expected
	}
	if c.Delete {
		return out, nil
	}
	raw, err := values.Encode(c.Value)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidArguments, err, "the state can't keep what %q is to be", c.Key)
	}
	if len(raw) > maxStateValue {
		e := errdefs.New(errdefs.PayloadTooLarge, "the value of %q has %d bytes, and a state's have %d at most", c.Key, len(raw), maxStateValue)
		e.Hint = "keep it elsewhere and only its name here, or give it along by the hook Save"
		return nil, e
	}
	out["value"] = raw
	return out, nil
}

func (s *Session) apply(changes []map[string]any, version uint64) {
	for _, c := range changes {
		key, _ := c["key"].(string)
		if raw, ok := c["value"].([]byte); ok {
			s.state[key] = stateValue{bytes: raw, version: version}
		} else {
			delete(s.state, key)
		}
	}
}

// read asks the host, if that wasn't done yet.
func (s *Session) read(ctx context.Context) error {
	if s.state != nil {
		return nil
	}
	var got map[string][]any
	if err := s.call.Host(ctx, stateGet, nil, &got); err != nil {
		return err
	}
	state := make(map[string]stateValue, len(got))
	for key, pair := range got {
		v, ok := pairOf(pair)
		if !ok {
			return errdefs.New(errdefs.Protocol, "the host's %s gives %v for %q", stateGet, pair, key)
		}
		state[key] = v
	}
	s.state = state
	return nil
}

func pairOf(pair []any) (stateValue, bool) {
	if len(pair) != 2 {
		return stateValue{}, false
	}
	raw, ok := pair[0].([]byte)
	switch n := pair[1].(type) {
	case int64:
		return stateValue{bytes: raw, version: uint64(max(n, 0))}, ok
	case uint64:
		return stateValue{bytes: raw, version: n}, ok
	}
	return stateValue{}, false
}
