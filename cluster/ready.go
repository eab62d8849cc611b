package cluster

import (
	"context"
	"sync"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Ready is closed once the node has caught up, which it has when Open returns, but
// for Config.Background. Until then it has no lease and knows nothing that may be
// relied on: reads and writes fail at once with no_quorum, since what it read of its
// own disk may be long past, and a session that isn't there may be elsewhere. A start
// that's refused, for good, ends the node: see [Node.Done], which is closed then,
// and Ready never.
func (n *Node) Ready() <-chan struct{} { return n.ready }

func (n *Node) isReady() error {
	select {
	case <-n.ready:
		return nil
	default:
	}
	e := errdefs.New(errdefs.NoQuorum, "this node has found no leader since it started, and knows nothing for certain")
	e.Hint = "start the other nodes, or look why they can't be reached"
	return e
}

// caught lets reads and writes in.
func (n *Node) caught() {
	n.began = n.proposer.applied.Load()
	close(n.ready)
}

// catchUpLater catches up for a node that is open already, until it ends.
func (n *Node) catchUpLater() {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		select {
		case <-n.ending:
			cancel()
		case <-ctx.Done():
		}
	})
	if err := n.catchUp(ctx); err != nil {
		n.fail(openError(n.cfg.Dir, err))
		return
	}
	n.caught()
}
