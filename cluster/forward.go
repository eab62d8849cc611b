package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// forwardWait bounds one attempt to have a leader apply an entry. When it ends, the
// same entry is sent again, and applied once.
const forwardWait = time.Second

// applyAnywhere has an entry applied, here or by whoever leads.
func (m *mesh) applyAnywhere(data []byte) ([]outcome, uint64, error) {
	if m.n.raft.State() == raft.Leader {
		return m.n.applyHere(data)
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.n.timing.of(forwardWait))
	defer cancel()
	var response *snakepitv1.ProposeResponse
	err := m.atLeader(ctx, func(ctx context.Context, c snakepitv1.NodeClient) (err error) {
		response, err = c.Propose(ctx, &snakepitv1.ProposeRequest{Entry: data})
		return err
	})
	if err != nil {
		return nil, 0, forwardError(err)
	}
	outcomes := make([]outcome, 0, len(response.GetOutcomes()))
	for _, o := range response.GetOutcomes() {
		outcomes = append(outcomes, outcomeFromWire(o))
	}
	return outcomes, response.GetIndex(), nil
}

// forwardError gives Raft's own errors back, so that an entry is sent again.
func forwardError(err error) error {
	if errdefs.ReasonOf(err) == errdefs.NotLeader {
		return raft.ErrNotLeader
	}
	if decided(err) {
		return err
	}
	return raft.ErrLeadershipLost
}

// mayPropose refuses an entry that the log mustn't have: every node would stop at it.
func (n *Node) mayPropose(data []byte) error {
	if len(data) > maxEntry {
		return errdefs.New(errdefs.PayloadTooLarge, "an entry of %d bytes", len(data))
	}
	e, err := decodeEntry(data)
	if err != nil {
		return err
	}
	for _, c := range e.GetCommands() {
		if err := n.allowed(c); err != nil {
			return err
		}
	}
	return nil
}

// allowed refuses a command that not all nodes are known to know. The one that says
// that they do comes before that.
func (n *Node) allowed(c *snakepitv1.RegistryCommand) error {
	if _, raises := c.GetCommand().(*snakepitv1.RegistryCommand_SetFeatureLevel); raises {
		return nil
	}
	level, _ := n.machine.level()
	if needed := needs(c); needed > level {
		e := errdefs.New(errdefs.VersionMismatch, "not all nodes know version %d of the registry's rules", needed)
		e.Hint = "wait until the last one runs the newer program"
		return e
	}
	return nil
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
