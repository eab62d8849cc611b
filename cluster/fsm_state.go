package cluster

import (
	"maps"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	// generationShift makes room for 2^40 entries in each generation of epochs.
	generationShift = 40
	// maxExpired is how many ids of expired sessions are remembered.
	maxExpired = 10_000
	// maxProcesses is how many processes may be recorded.
	maxProcesses = 100_000
)

// state is the registry. It follows from the entries alone: whoever applies the
// same ones has the same state. The rows never change, so that they may be shared
// with a snapshot, an outcome or a reader; a new one takes the place of the old.
type state struct {
	generation uint64
	sessions   map[host.SessionID]*host.Session
	processes  map[host.WorkerID]*host.ProcessRecord
	expired    *expired
	origins    origins
}

func newState() *state {
	return &state{
		sessions:  map[host.SessionID]*host.Session{},
		processes: map[host.WorkerID]*host.ProcessRecord{},
		expired:   newExpired(maxExpired),
		origins:   origins{},
	}
}

// clone is a state that doesn't change with this one.
func (s *state) clone() *state {
	return &state{
		generation: s.generation,
		sessions:   maps.Clone(s.sessions),
		processes:  maps.Clone(s.processes),
		expired:    s.expired.clone(),
		origins:    s.origins.clone(),
	}
}

// apply runs the commands of the entry at an index of the log, each unless it was
// run before, and returns their outcomes in the same order.
func (s *state) apply(e *snakepitv1.RegistryEntry, index uint64) []outcome {
	from := s.origins.enter(e.GetOrigin(), e.GetAnswered(), index)
	outcomes := make([]outcome, 0, len(e.GetCommands()))
	seen := map[string]bool{}
	for _, c := range e.GetCommands() {
		o, known := from.outcome(c.GetNumber())
		if !known {
			o = s.run(c, index, seen)
			from.remember(c.GetNumber(), o)
		}
		outcomes = append(outcomes, o)
	}
	return outcomes
}

// run runs one command. seen has what the entry's earlier ones were about: two
// about the same would share an epoch.
func (s *state) run(c *snakepitv1.RegistryCommand, index uint64, seen map[string]bool) outcome {
	about := subject(c)
	if seen[about] {
		return refused(errdefs.New(errdefs.Internal, "two commands of one entry are about the same"))
	}
	seen[about] = true
	epoch := s.generation<<generationShift + index
	switch c := c.GetCommand().(type) {
	case *snakepitv1.RegistryCommand_OpenSession:
		return s.openSession(c.OpenSession, epoch)
	case *snakepitv1.RegistryCommand_BindSession:
		return s.bindSession(c.BindSession, epoch)
	case *snakepitv1.RegistryCommand_ForgetSession:
		return s.forgetSession(c.ForgetSession)
	case *snakepitv1.RegistryCommand_ClaimProcess:
		return s.claimProcess(c.ClaimProcess, epoch)
	case *snakepitv1.RegistryCommand_ReleaseProcess:
		return s.releaseProcess(c.ReleaseProcess)
	case *snakepitv1.RegistryCommand_RaiseGeneration:
		s.generation = max(s.generation, c.RaiseGeneration.GetGeneration())
	}
	return outcome{}
}

func refused(err *errdefs.Error) outcome { return outcome{err: err} }
