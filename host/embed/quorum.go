package embed

import (
	"context"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// quorumPatience is how long a node that starts waits for a majority before it begins
// to serve what needs none.
const quorumPatience = 5 * time.Second

// awaitQuorum returns once the node has caught up, or it seems that there's no majority
// to catch up with. It fails when the node can't be a member, and when ctx ends.
func (h *Host) awaitQuorum(ctx context.Context) error {
	patience := time.NewTimer(quorumPatience)
	defer patience.Stop()
	select {
	case <-h.registry.Ready():
	case <-h.registry.Done():
		if err := h.registry.Err(); err != nil {
			return err
		}
		return errdefs.New(errdefs.NoQuorum, "the registry has ended")
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-patience.C:
		h.logger.Warn("no majority of the nodes is reached: only calls without a session are served until there is one", "waited", quorumPatience)
	}
	return nil
}

// Quorum reports whether this host knows its sessions: always, but for a node of a
// cluster that has found no majority of the others since it started. That one serves
// calls without a session, and the others as soon as it has found one.
func (h *Host) Quorum() bool {
	if h.node == nil {
		return true
	}
	select {
	case <-h.registry.Ready():
		return true
	default:
		return false
	}
}

// forsakeFrozen ends the survivors that ran a session's call when the last lease ended,
// or were pinned by one: whose those sessions are now can't be known.
func (h *Host) forsakeFrozen() {
	for _, s := range h.launcher.Survivors() {
		if s.Frozen {
			h.logger.Info("a worker of the last host is ended: whose its session is isn't known", "worker", s.Worker)
			h.launcher.Forsake(s.Worker)
		}
	}
}
