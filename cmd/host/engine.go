package main

import (
	"context"
	"iter"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host"
)

// engine is a host as the commands see it: a live one over its socket, or one that
// runs in this process. Errors are those of [snakepit.Caller].
type engine interface {
	// Tools lists what can be called, sorted by name.
	Tools(ctx context.Context) ([]snakepit.Tool, error)
	// Call runs a tool and gives its result, as msgpack. Chunks come as one list.
	Call(ctx context.Context, inv invocation) ([]byte, error)
	// Stream runs a tool and gives its chunks as they come, as msgpack; the result
	// of a tool that yields none is the only one. Leaving the loop cancels the call.
	Stream(ctx context.Context, inv invocation) iter.Seq2[[]byte, error]
	// Status tells how the host is.
	Status(ctx context.Context) (hostStatus, error)
	// Workers lists the workers, by pool.
	Workers(ctx context.Context) ([]workerStatus, error)
	// Sessions lists the sessions of a pool, or of all with an empty name, by id.
	Sessions(ctx context.Context, pool string) ([]sessionStatus, error)
	// Close lets go of the host, and ends it where it runs in this process.
	Close() error
	// Upgrade has the host's program started anew, to take over; it gives the new
	// process's pid once that one is ready to.
	Upgrade(ctx context.Context) (pid int, err error)
	// ReloadConfig has the host read its configuration again; it returns when what
	// can be applied holds.
	ReloadConfig(ctx context.Context) (configReload, error)
	// Reload replaces the workers of a pool, of all with an empty name, and tells of
	// each step.
	Reload(ctx context.Context, pool string, step func(reloadStep)) error
	// DrainWorker takes a worker out of service and waits until it's gone.
	DrainWorker(ctx context.Context, id string) error
	// KillWorker ends a worker at once.
	KillWorker(ctx context.Context, id string) error
}

// localHost is a host that runs in this process.
type localHost interface {
	engine
	// Wait blocks until the host has ended by itself, and says why, or until ctx is done.
	Wait(ctx context.Context) error
	// Shutdown takes no new calls, lets the running ones end, and stops the workers.
	// When ctx is done it stops them at once.
	Shutdown(ctx context.Context) error
	// Socket is where the host listens; empty where it doesn't.
	Socket() string
	// Membership is the host's id as a node of a cluster, and where it's reached; empty
	// where it's none.
	Membership() (id, address string)
	// Quorum reports whether the host knows its sessions, or serves only what needs none.
	Quorum() bool
	// Left reports whether the host ends since its node has left its cluster.
	Left() bool
	// Heir is the process that takes over, or has; zero: none does.
	Heir() int
}

// invocation is one call.
type invocation struct {
	Tool, Pool, Session string
	Args                map[string]any
	Timeout             time.Duration // zero: the host's call_timeout
	Caller, Affinity    string
	Availability        string // of a session that it opens; empty: strict
	Priority            int
	// OnProgress gets the tool's reports, from the goroutine that reads the call.
	OnProgress func(snakepit.Progress)
}

func (inv invocation) options() []snakepit.CallOption {
	all := []snakepit.CallOption{
		snakepit.Pool(inv.Pool), snakepit.Session(inv.Session), snakepit.Timeout(inv.Timeout), snakepit.OnProgress(inv.OnProgress),
		snakepit.As(inv.Caller), snakepit.Affinity(inv.Affinity), snakepit.Priority(inv.Priority),
	}
	if inv.Availability == string(host.AvailabilityLocal) {
		all = append(all, snakepit.Local())
	}
	return all
}

// rawChunks gives chunks as they travelled.
func rawChunks(chunks iter.Seq2[snakepit.Chunk, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for chunk, err := range chunks {
			if !yield(chunk.Raw(), err) {
				return
			}
		}
	}
}

// launch says which host to start in this process.
type launch struct {
	File    string   // the configuration; empty: none
	Environ []string // in which SNAKEPIT_ variables are knobs
	Private bool     // no data directory, whatever the configuration says
	Adapter string
	Workers int    // zero: the knob pool_size
	DataDir string // empty: private, removed at the end
	Set     []string
	Serve   bool // listen on the data directory's socket
	Watch   bool // reload when the adapter's files change
	// Successor starts the program that takes over; nil: none can.
	Successor func(files []*os.File) (*os.Process, error)
	Inherit   []*os.File // what a host handed to this process; nil: nothing
	Logger    hclog.Logger
	Version   string
}
