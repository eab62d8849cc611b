package main

import (
	"context"
	"strings"

	"github.com/snakepit-go/snakepit/plugin/worker"
)

// hooks note what they're told; a worker with more to lose would build its memory up
// again in Restore, and give it along in Save.
func (m *memory) hooks() worker.Hooks {
	return worker.Hooks{
		Open:    func(_ context.Context, s *worker.Session) error { return m.note(s, "open") },
		Restore: m.restore,
		Save: func(_ context.Context, s *worker.Session) ([]byte, error) {
			if err := m.note(s, "save"); err != nil || strings.HasPrefix(s.ID, "empty") {
				return nil, err
			}
			return []byte(s.ID), nil
		},
		Close: func(_ context.Context, s *worker.Session, moved bool) error { return m.note(s, "close", moved) },
	}
}

// restore takes orders, for the conformance suite.
func (m *memory) restore(ctx context.Context, s *worker.Session, saved []byte) error {
	switch string(saved) {
	case "fail":
		_, err := fail(ctx, nil, failArg{Message: "restore"})
		return err
	case "spin":
		_, err := spin(ctx, nil, none{})
		return err
	}
	keys, err := s.Keys(ctx)
	if err != nil {
		return err
	}
	state := map[string]any{}
	for _, key := range keys {
		var v any
		if _, err := s.Get(ctx, key, &v); err != nil {
			return err
		}
		state[key] = v
	}
	var gave any // nil: nothing
	if saved != nil {
		gave = saved
	}
	return m.note(s, "restore", state, gave)
}

func (m *memory) note(s *worker.Session, what ...any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told == nil {
		m.told = map[string][]any{}
	}
	m.told[s.ID] = append(m.told[s.ID], what)
	return nil
}

func (m *memory) list(_ context.Context, c *worker.Call, _ none) ([]any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := c.Session()
	if s == nil {
		return []any{}, nil
	}
	return append([]any{}, m.told[s.ID]...), nil
}
