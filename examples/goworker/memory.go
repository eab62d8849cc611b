package main

import (
	"context"
	"slices"
	"sync"

	"github.com/snakepit-go/snakepit/plugin/worker"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// memory is what the worker keeps for sessions: a session's calls come to the
// worker that has served it before. It ends with the process; what's in the
// session's state doesn't.
type memory struct {
	mu   sync.Mutex // guards what follows: tools of several sessions run at once
	seen map[string][]string
	told map[string][]any // what hooks were told
}

func (m *memory) tools() []worker.Tool {
	return []worker.Tool{
		worker.Func("remember", m.remember, worker.Describe("Keeps a word for the session, and gives all that it has kept.")),
		worker.Func("keep", keep, worker.Describe("Sets a key of the session's state; gives what it was, what it is, and its version.")),
		worker.Func("hooks", m.list, worker.Describe("Lists what the hooks have been told of the session.")),
	}
}

func (m *memory) remember(_ context.Context, c *worker.Call, in struct{ Word string }) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[string][]string{}
	}
	id := sessionOf(c)
	m.seen[id] = append(m.seen[id], in.Word)
	return slices.Clone(m.seen[id]), nil
}

// keep is what a worker does that mustn't lose what it was told, with its process or with its node.
func keep(ctx context.Context, c *worker.Call, in struct {
	Key   string
	Value any
},
) ([]any, error) {
	s := c.Session()
	if s == nil {
		return nil, errdefs.New(errdefs.InvalidArguments, "there is no state without a session")
	}
	var before any
	if _, err := s.Get(ctx, in.Key, &before); err != nil {
		return nil, err
	}
	version, err := s.Write(ctx, worker.Change{Key: in.Key, Value: in.Value})
	return []any{before, in.Value, version}, err
}
