package cluster

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// diskWait is how long a write may take before the disk is said to hang, on a fast
// network: so that another leads while those who write still wait for a leader.
const diskWait = time.Second

// patience measures how long writes to a log take. Raft makes one at a time, and
// waits for it with all else that it has to do. A disk that hangs gives no error, so
// nothing else notices.
type patience struct {
	logs

	log   hclog.Logger
	bound time.Duration

	mu      sync.Mutex // guards all below
	writing int        // writes under way; a change of term may come beside one of entries
	since   time.Time  // when the first of them began
}

func newPatience(l logs, log hclog.Logger, bound time.Duration) *patience {
	return &patience{logs: l, log: log, bound: bound}
}

// waited is for how long writes have been under way; zero: there is none.
func (p *patience) waited() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writing == 0 {
		return 0
	}
	return time.Since(p.since)
}

func (p *patience) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writing++; p.writing == 1 {
		p.since = time.Now()
	}
}

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing--
}

// hangs reports whether the write under way takes too long.
func (p *patience) hangs() bool { return p.waited() > p.bound }

func (p *patience) write(do func() error) error {
	p.begin()
	defer p.end() // also when the store ends this goroutine
	late := time.AfterFunc(p.bound, func() {
		p.log.Error("the disk hangs: a write to the registry's log isn't done", "after", p.bound)
	})
	err := do()
	if !late.Stop() {
		p.log.Warn("the disk goes on", "after", p.waited())
	}
	return err
}

// StoreLogs implements [raft.LogStore].
func (p *patience) StoreLogs(l []*raft.Log) error {
	return p.write(func() error { return p.logs.StoreLogs(l) })
}

// StoreLog implements [raft.LogStore].
func (p *patience) StoreLog(l *raft.Log) error {
	return p.write(func() error { return p.logs.StoreLog(l) })
}

// Set implements [raft.StableStore].
func (p *patience) Set(key, value []byte) error {
	return p.write(func() error { return p.logs.Set(key, value) })
}

// SetUint64 implements [raft.StableStore].
func (p *patience) SetUint64(key []byte, value uint64) error {
	return p.write(func() error { return p.logs.SetUint64(key, value) })
}
