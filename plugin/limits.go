package plugin

import (
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

// limitsOf are a pool's limits as whoever forks its workers takes them.
func limitsOf(l host.Limits) shim.Limits {
	return shim.Limits{Memory: l.Memory, OpenFiles: l.OpenFiles, Processes: l.Processes, CPU: l.CPU}
}

// limitReport says what has become of workers' limits: what holds at debug, and once
// for each pool, limit and cause what doesn't.
type limitReport struct {
	mu   sync.Mutex // guards told
	told map[string]bool
}

func (r *limitReport) say(log hclog.Logger, pool string, all []shim.Limit) {
	for _, l := range all {
		switch {
		case l.By != "":
			log.Debug("the worker is held to a limit", "limit", l.What, "by", l.By)
		case r.first(pool + " " + l.What + " " + l.Why):
			log.Warn("the workers of a pool aren't held to a limit that it asks for", "pool", pool, "limit", l.What, "why", l.Why)
		}
	}
}

func (r *limitReport) first(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told == nil {
		r.told = map[string]bool{}
	}
	was := r.told[what]
	r.told[what] = true
	return !was
}

// lacksMemory tells, of a line of standard error, whether it's one of those that
// libraries and runtimes print when they get no more memory, before they end the process.
func lacksMemory(line string) bool {
	words := []string{"MemoryError", "bad_alloc", "Cannot allocate memory", "out of memory", "Out of memory"}
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(line, word) })
}
