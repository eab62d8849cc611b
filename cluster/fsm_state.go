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
	index      uint64 // of the last entry
	generation uint64
	raised     uint32 // the level of features; zero: it was never raised
	cluster    string // the cluster's id; empty: none yet
	sessions   map[host.SessionID]*sessionRow
	processes  map[host.WorkerID]*host.ProcessRecord
	nodes      map[string]*Member
	toolSets   map[sum]*toolSet
	offers     map[string]*offer // by node
	tokens     map[sum]*token
	overrides  map[string]map[string]string // knobs by pool, never changed, only replaced
	expired    *expired
	origins    origins

	// What follows is no part of the state.
	watch      *watch        // nil: nobody is told
	overridden chan struct{} // told when overrides change; nil: nobody is
	catalogue  uint64        // grows when a node or what it offers changes
	left       lefts         // where sessions lived whose owners were lost
	lost       losses        // which owners these may be
}

// sessionRow is a session with what the engine doesn't keep in its own.
type sessionRow struct {
	host.Session

	values map[string]Value // its state; never changed, only replaced
}

// position is where in the log a command stands.
type position struct {
	term, epoch uint64
}

// sameTerm refuses what a leader decided in another term: what it was decided upon
// may not be true any more.
func (p position) sameTerm(term uint64) *errdefs.Error {
	if p.term == term {
		return nil
	}
	return errdefs.New(errdefs.NotLeader, "it was decided in term %d, and this is term %d", term, p.term)
}

func newState() *state {
	return &state{
		sessions:  map[host.SessionID]*sessionRow{},
		processes: map[host.WorkerID]*host.ProcessRecord{},
		nodes:     map[string]*Member{},
		toolSets:  map[sum]*toolSet{},
		offers:    map[string]*offer{},
		tokens:    map[sum]*token{},
		overrides: map[string]map[string]string{},
		expired:   newExpired(maxExpired),
		origins:   origins{},
		left:      lefts{},
		lost:      losses{},
	}
}

// clone is a state that doesn't change with this one.
func (s *state) clone() *state {
	return &state{
		index:      s.index,
		generation: s.generation,
		raised:     s.raised,
		cluster:    s.cluster,
		sessions:   maps.Clone(s.sessions),
		processes:  maps.Clone(s.processes),
		nodes:      maps.Clone(s.nodes),
		toolSets:   maps.Clone(s.toolSets),
		offers:     maps.Clone(s.offers),
		tokens:     maps.Clone(s.tokens),
		overrides:  maps.Clone(s.overrides),
		expired:    s.expired.clone(),
		origins:    s.origins.clone(),
	}
}

// apply runs the commands of the entry at an index of the log, each unless it was
// run before, and returns their outcomes in the same order.
func (s *state) apply(e *snakepitv1.RegistryEntry, index, term uint64) []outcome {
	s.index = index
	from := s.origins.enter(e.GetOrigin(), e.GetAnswered(), index)
	outcomes := make([]outcome, 0, len(e.GetCommands()))
	seen := map[string]bool{}
	for _, c := range e.GetCommands() {
		at := position{term: term, epoch: s.generation<<generationShift + index}
		o, known := from.outcome(c.GetNumber())
		if !known {
			o = s.run(c, at, seen, len(e.GetCommands()))
			from.remember(c.GetNumber(), o)
		}
		outcomes = append(outcomes, o)
	}
	return outcomes
}

// run runs one command. seen has what the entry's earlier ones were about: two
// about the same would share an epoch.
func (s *state) run(c *snakepitv1.RegistryCommand, at position, seen map[string]bool, of int) outcome {
	about := subject(c)
	if seen[about] || of > 1 && alone(c) {
		return refused(errdefs.New(errdefs.Internal, "two commands of one entry are about the same"))
	}
	seen[about] = true
	if o, ok := s.runNode(c, at); ok {
		return o
	}
	if o, ok := s.runMember(c, at); ok {
		return o
	}
	switch c := c.GetCommand().(type) {
	case *snakepitv1.RegistryCommand_OpenSession:
		return s.openSession(c.OpenSession, at.epoch)
	case *snakepitv1.RegistryCommand_BindSession:
		return s.bindSession(c.BindSession, at.epoch)
	case *snakepitv1.RegistryCommand_ForgetSession:
		return s.forgetSession(c.ForgetSession)
	case *snakepitv1.RegistryCommand_ClaimProcess:
		return s.claimProcess(c.ClaimProcess, at.epoch)
	case *snakepitv1.RegistryCommand_ReleaseProcess:
		return s.releaseProcess(c.ReleaseProcess)
	case *snakepitv1.RegistryCommand_RaiseGeneration:
		s.generation = max(s.generation, c.RaiseGeneration.GetGeneration())
	}
	return outcome{}
}

// runNode runs the commands that came with clusters of several nodes.
func (s *state) runNode(c *snakepitv1.RegistryCommand, at position) (o outcome, ok bool) {
	switch c := c.GetCommand().(type) {
	case *snakepitv1.RegistryCommand_RegisterNode:
		return s.registerNode(c.RegisterNode, at), true
	case *snakepitv1.RegistryCommand_SetNodeStatus:
		return s.setNodeStatus(c.SetNodeStatus, at), true
	case *snakepitv1.RegistryCommand_ForgetNode:
		return s.forgetNode(c.ForgetNode), true
	case *snakepitv1.RegistryCommand_SetFeatureLevel:
		return s.setFeatureLevel(c.SetFeatureLevel, at), true
	case *snakepitv1.RegistryCommand_Rehome:
		return s.rehome(c.Rehome, at), true
	case *snakepitv1.RegistryCommand_MoveSession:
		return s.moveSession(c.MoveSession, at), true
	case *snakepitv1.RegistryCommand_SetState:
		return s.setState(c.SetState, at), true
	}
	return outcome{}, false
}

// runMember runs the commands that came with what nodes say of themselves: version 3.
func (s *state) runMember(c *snakepitv1.RegistryCommand, at position) (o outcome, ok bool) {
	switch c := c.GetCommand().(type) {
	case *snakepitv1.RegistryCommand_PauseNode:
		return s.pauseNode(c.PauseNode), true
	case *snakepitv1.RegistryCommand_SetRehomeAfter:
		return s.setRehomeAfter(c.SetRehomeAfter, at), true
	case *snakepitv1.RegistryCommand_StoreTools:
		return s.storeTools(c.StoreTools), true
	case *snakepitv1.RegistryCommand_OfferTools:
		return s.offerTools(c.OfferTools), true
	case *snakepitv1.RegistryCommand_AddToken:
		return s.addToken(c.AddToken, at), true
	case *snakepitv1.RegistryCommand_DropToken:
		return s.dropToken(c.DropToken, at), true
	case *snakepitv1.RegistryCommand_SpendToken:
		return s.spendToken(c.SpendToken), true
	case *snakepitv1.RegistryCommand_SetPoolOverride:
		return s.setPoolOverride(c.SetPoolOverride), true
	}
	return outcome{}, false
}

func refused(err *errdefs.Error) outcome { return outcome{err: err} }
