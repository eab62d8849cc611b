package main

import (
	"context"
	"slices"
	"sync"

	"github.com/snakepit-go/snakepit/plugin/worker"
)

// memory is what the worker keeps for sessions: a session's calls come to the
// worker that has served it before. It ends with the process.
type memory struct {
	mu   sync.Mutex // guards seen: tools of several sessions run at once
	seen map[string][]string
}

func (m *memory) tools() []worker.Tool {
	return []worker.Tool{
		worker.Func("remember", m.remember, worker.Describe("Keeps a word for the session, and gives all that it has kept.")),
	}
}

func (m *memory) remember(_ context.Context, c *worker.Call, in struct{ Word string }) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[string][]string{}
	}
	m.seen[c.Session()] = append(m.seen[c.Session()], in.Word)
	return slices.Clone(m.seen[c.Session()]), nil
}
