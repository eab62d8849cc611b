package cluster

import (
	"context"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Consistent waits until this node has applied all that was acknowledged anywhere
// before the call, so that the reads after it show it. It blocks until then, or
// until ctx ends; it asks the leader, which asks a majority, and writes nothing.
// Errors: deadline, cancelled, and why the node has ended.
func (n *Node) Consistent(ctx context.Context) error {
	if err := n.check(ctx); err != nil || n.mesh == nil {
		return err
	}
	for {
		_, changed := n.mesh.sign.leader()
		index, err := n.mesh.readIndex(ctx)
		if err == nil {
			return n.caughtUp(ctx, index)
		}
		if err := n.check(ctx); err != nil {
			return err
		}
		n.mesh.pause(ctx, retryWait, changed)
	}
}

// caughtUp waits until this node has applied the entry at an index.
func (n *Node) caughtUp(ctx context.Context, index uint64) error {
	there, leave := n.machine.reached(index)
	defer leave()
	select {
	case <-there:
		return nil
	case <-n.ending:
		return n.ended()
	case <-ctx.Done():
		return errdefs.Wrap(reasonOf(ctx), ctx.Err(), "this node hasn't caught up yet, and may have written")
	}
}

func (m *mesh) readIndex(ctx context.Context) (index uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.n.timing.of(askWait))
	defer cancel()
	if o := m.office.Load(); o != nil {
		return o.readIndex(ctx)
	}
	err = m.atLeader(ctx, func(ctx context.Context, c snakepitv1.NodeClient) error {
		response, err := c.ReadIndex(ctx, &snakepitv1.ReadIndexRequest{})
		index = response.GetIndex()
		return err
	})
	return index, err
}

// readIndex is what this leader has applied, which is all that it acknowledged, and
// all that was before its term; that it still led afterwards makes it all there is.
func (o *office) readIndex(ctx context.Context) (uint64, error) {
	index := o.m.n.machine.index()
	if err := o.m.verifier.leads(ctx); err != nil {
		return 0, notLeading(err)
	}
	if o.m.office.Load() != o {
		return 0, errdefs.New(errdefs.NotLeader, "this node leads another term")
	}
	return index, nil
}
