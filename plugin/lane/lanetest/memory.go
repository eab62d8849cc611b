package lanetest

import (
	"context"
	"strings"
	"sync"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// memory is what the worker knows of sessions.
type memory struct {
	mu     sync.Mutex // guards the fields below
	epochs map[string]uint64
	told   map[string][]any
}

// admit refuses a call with a lower epoch than its session has had.
func (m *memory) admit(r lane.Request) error {
	if r.Epoch == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epochs == nil {
		m.epochs = map[string]uint64{}
	}
	if highest := m.epochs[r.Session]; highest > r.Epoch {
		return errdefs.New(errdefs.Fenced, "the session has had epoch %d here", highest)
	}
	m.epochs[r.Session] = r.Epoch
	return nil
}

// note remembers what a hook was told.
func (m *memory) note(out *output, what ...any) (any, error) {
	session := out.in.Request().Session
	if session == "" {
		return nil, errdefs.New(errdefs.InvalidArguments, "a hook without a session")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told == nil {
		m.told = map[string][]any{}
	}
	m.told[session] = append(m.told[session], what)
	return nil, nil
}

func (m *memory) tell(_ context.Context, out *output, _ arg) (any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]any{}, m.told[out.in.Request().Session]...), nil
}

func (m *memory) open(_ context.Context, out *output, _ arg) (any, error) { return m.note(out, "open") }

func (m *memory) restore(ctx context.Context, out *output, a arg) (any, error) {
	state := map[string]any{}
	raw, _ := a["state"].(map[string]any)
	for key, data := range raw {
		bytes, _ := data.([]byte)
		var v any
		if err := values.Decode(bytes, &v); err != nil {
			return nil, errdefs.Wrap(errdefs.InvalidArguments, err, "the state")
		}
		state[key] = v
	}
	saved, _ := a["saved"].([]byte)
	switch string(saved) {
	case "fail":
		return fail(ctx, out, arg{"message": "restore"})
	case "spin":
		return spin(ctx, out, a)
	}
	return m.note(out, "restore", state, a["saved"])
}

func (m *memory) save(_ context.Context, out *output, _ arg) (any, error) {
	session := out.in.Request().Session
	if _, err := m.note(out, "save"); err != nil || strings.HasPrefix(session, "empty") {
		return nil, err
	}
	return []byte(session), nil
}

func (m *memory) close(_ context.Context, out *output, a arg) (any, error) {
	return m.note(out, "close", a["moved"])
}

// keep sets a key of the session's state.
func keep(ctx context.Context, out *output, a arg) (any, error) {
	var held map[string][]any
	if err := out.ask(ctx, "snakepit.state.get", map[string]any{}, &held); err != nil {
		return nil, err
	}
	var before any
	if pair := held[a.text("key")]; len(pair) == 2 {
		raw, _ := pair[0].([]byte)
		if err := values.Decode(raw, &before); err != nil {
			return nil, err
		}
	}
	raw, err := values.Encode(a["value"])
	if err != nil {
		return nil, err
	}
	var version uint64
	changes := []any{map[string]any{"key": a.text("key"), "value": raw}}
	if err := out.ask(ctx, "snakepit.state.set", map[string]any{"changes": changes}, &version); err != nil {
		return nil, err
	}
	return []any{before, a["value"], version}, nil
}
