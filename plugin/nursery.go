package plugin

import (
	"context"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// nursery is where workers are forked: the shim's, where there is one, else this process's.
type nursery interface {
	// run ends with ctx, and kills what nobody has stopped. No process is forked
	// after it has begun to end, and none is left when it returns.
	run(ctx context.Context) error
	// start forks p's command. From then on p is told what the process prints and how it ends.
	start(ctx context.Context, p *process) (child, error)
	// recover finds the processes that an earlier host has left with their keeper, and
	// what is recorded of those that another host has taken over. It comes before run.
	recover(ctx context.Context) (ours []found, theirs []ledger.Record, err error)
	// inherit takes over the keepers of another host that is dead. On error it has none.
	inherit(ctx context.Context, e Estate) ([]legacy, error)
	// leave lets go of every process, for another host to come within the grace, and
	// ends those that were inherited: it wouldn't find them. Nothing is forked any more.
	leave(grace time.Duration) error
	// lease tells until when a host may run what is bound to a session: an instant of
	// CLOCK_BOOTTIME in nanoseconds; zero: for ever.
	lease(deadline int64) error
	// environ is what a worker must know about where it's forked.
	environ() []string
}

// legacy is a keeper of another host's processes that we have taken over. What is bound
// to a session stays as it is, under a lease that has ended, until one of these is called.
type legacy struct {
	found   []found
	keep    func(ctx context.Context) error // it's one of ours now, under our own lease
	end     func()                          // with whatever is left there; blocks until that's gone
	release func()                          // its processes wait for a host again
}

// child is a process as whoever forked it sees it. No signal goes to a stranger,
// whatever has become of the process.
type child interface {
	identity() host.Process
	signal(sig signal) // to its group
	kill()             // with SIGKILL, its group and whatever else is known to descend from it
}

// The streams of a process.
const (
	stdoutStream byte = 1
	stderrStream byte = 2
)

func errStopped() error { return errdefs.New(errdefs.Draining, "the host has stopped") }
