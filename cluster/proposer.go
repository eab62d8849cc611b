package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	// holdWait is how long a write may wait for a leader, on a fast network.
	holdWait = 2 * time.Second
	// retryWait is the pause before an entry is proposed again.
	retryWait = 20 * time.Millisecond
)

// proposer turns commands into entries of the log. It has one entry under way at a
// time; the commands that come meanwhile share the next one, and its fsync.
type proposer struct {
	// apply proposes an entry and blocks until it's applied, or won't be. It gives the
	// entry's index.
	apply  func(data []byte) ([]outcome, uint64, error)
	origin string
	ended  func() error  // why nothing is proposed any more
	hold   time.Duration // how long a write may wait for a leader

	waiting chan *proposal
	stopped chan struct{} // closed when run has returned
	applied atomic.Uint64 // entries

	// Only run uses what follows.
	held []*proposal // left over, in order of arrival
	next uint64      // the number of the next command
}

// proposal is one command on its way.
type proposal struct {
	command *snakepitv1.RegistryCommand
	subject string
	size    int
	alone   bool        // takes an entry to itself
	taken   atomic.Bool // by whoever is first: the proposer, or a caller who leaves
	answer  chan answer // has room for it
}

type answer struct {
	outcome outcome
	err     error
}

func newProposer(apply func([]byte) ([]outcome, uint64, error), ended func() error) *proposer {
	return &proposer{
		apply: apply, origin: newUUID(), ended: ended, hold: holdWait, next: 1,
		waiting: make(chan *proposal, maxCommands), stopped: make(chan struct{}),
	}
}

// propose has a command run, and blocks until it was, or ctx ends. In the second
// case the error says whether it may be run all the same.
func (p *proposer) propose(ctx context.Context, c *snakepitv1.RegistryCommand) (outcome, error) {
	mine := &proposal{command: c, subject: subject(c), size: proto.Size(c) + 16, alone: alone(c), answer: make(chan answer, 1)}
	if mine.size > maxEntry/2 {
		return outcome{}, errdefs.New(errdefs.PayloadTooLarge, "a change of %d bytes, where the registry takes %d", mine.size, maxEntry/2)
	}
	select {
	case p.waiting <- mine:
	case <-ctx.Done():
		return outcome{}, gaveUp(ctx, false)
	case <-p.stopped:
		return outcome{}, p.ended()
	}
	select {
	case a := <-mine.answer:
		return a.outcome, a.err
	case <-ctx.Done():
		return outcome{}, gaveUp(ctx, !mine.taken.CompareAndSwap(false, true))
	case <-p.stopped:
		return mine.late(p)
	}
}

// late is for a proposal that may have got its answer just before the end.
func (m *proposal) late(p *proposer) (outcome, error) {
	select {
	case a := <-m.answer:
		return a.outcome, a.err
	default:
		return outcome{}, p.ended()
	}
}

func gaveUp(ctx context.Context, underWay bool) error {
	if underWay {
		return errdefs.Wrap(reasonOf(ctx), ctx.Err(), "the registry's write is under way, and may succeed yet")
	}
	return errdefs.Wrap(reasonOf(ctx), ctx.Err(), "nothing was written to the registry")
}

func reasonOf(ctx context.Context) errdefs.Reason {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errdefs.Deadline
	}
	return errdefs.Cancelled
}

// run proposes entries until ending is closed. The entry under way then is
// finished.
func (p *proposer) run(ending <-chan struct{}) {
	defer close(p.stopped)
	for {
		select {
		case <-ending:
			return
		default:
		}
		batch := p.collect(ending)
		if len(batch) > 0 {
			p.commit(batch, ending)
		}
	}
}

// collect blocks until there is a command, and takes those that wait with it. Of
// several about the same, only the first goes into an entry.
func (p *proposer) collect(ending <-chan struct{}) []*proposal {
	if len(p.held) == 0 {
		select {
		case first := <-p.waiting:
			p.held = append(p.held, first)
		case <-ending:
			return nil
		}
	}
	for len(p.held) < 2*maxCommands {
		select {
		case more := <-p.waiting:
			p.held = append(p.held, more)
			continue
		default:
		}
		break
	}
	return p.pick()
}

// pick takes from those held what fits into one entry.
func (p *proposer) pick() []*proposal {
	var batch, rest []*proposal
	about := map[string]bool{}
	size, full := 0, false
	for _, m := range p.held {
		switch {
		case about[m.subject] || full || len(batch) > 0 && m.alone || len(batch) == maxCommands || size+m.size > maxEntry-1024:
			about[m.subject] = true // what comes after it about the same mustn't overtake it
			rest = append(rest, m)
		case m.taken.CompareAndSwap(false, true):
			about[m.subject] = true
			size += m.size
			batch = append(batch, m)
			full = m.alone
		}
	}
	p.held = rest
	return batch
}

// commit gets one entry applied and answers its callers.
func (p *proposer) commit(batch []*proposal, ending <-chan struct{}) {
	commands := make([]*snakepitv1.RegistryCommand, 0, len(batch))
	answered := p.next
	for _, m := range batch {
		m.command.Number = p.next
		p.next++
		commands = append(commands, m.command)
	}
	data, err := encodeEntry(p.origin, answered, commands)
	var outcomes []outcome
	if err != nil {
		err = errdefs.Wrap(errdefs.InvalidArguments, err, "the registry can't write it down")
	} else {
		outcomes, err = p.insist(data, ending)
	}
	for i, m := range batch {
		a := answer{err: err}
		if err == nil {
			a.outcome = outcomes[i]
		}
		m.answer <- a
	}
}

// insist proposes an entry, again where it's lost on the way: its commands are run
// once however often it arrives. It gives up when nobody has led for a while.
func (p *proposer) insist(data []byte, ending <-chan struct{}) ([]outcome, error) {
	end := time.Now().Add(p.hold)
	mayHaveRun := false
	for {
		outcomes, index, err := p.apply(data)
		if err == nil {
			p.applied.Add(1)
			for i := range outcomes {
				outcomes[i].index = index
			}
			return outcomes, nil
		}
		lost := errors.Is(err, raft.ErrLeadershipLost)
		mayHaveRun = mayHaveRun || lost
		if !lost && !notAccepted(err) {
			return nil, p.given(err, mayHaveRun)
		}
		select {
		case <-ending:
			return nil, p.given(p.ended(), mayHaveRun)
		case <-time.After(retryWait):
		}
		if time.Now().After(end) {
			return nil, p.noQuorum(mayHaveRun)
		}
	}
}

// notAccepted reports whether an entry certainly isn't in the log, for lack of a leader.
func notAccepted(err error) bool {
	return errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) || errors.Is(err, raft.ErrLeadershipTransferInProgress)
}

func (p *proposer) given(err error, mayHaveRun bool) error {
	if errors.Is(err, raft.ErrRaftShutdown) {
		err = p.ended()
	}
	if e := *errdefs.Of(err); mayHaveRun {
		e.Message += "; whether this write is there shows after the next start"
		return &e
	}
	return err
}

func (p *proposer) noQuorum(mayHaveRun bool) error {
	if mayHaveRun {
		return errdefs.New(errdefs.OutcomeUnknown, "the registry lost its leader during the write, and has had none for %s", p.hold)
	}
	return errdefs.New(errdefs.NoQuorum, "the registry has had no leader for %s; nothing was written", p.hold)
}
