package embed

import (
	"context"
	"time"

	"github.com/snakepit-go/snakepit/host"
)

const (
	// doubtsWait bounds how long it's waited until this start owns what its last one did.
	doubtsWait = time.Second
	// doubtsPause is how often it's looked.
	doubtsPause = 10 * time.Millisecond
)

// verdict is what becomes of a frozen survivor.
type verdict int

const (
	condemned verdict = iota // a session of its is another node's, or it has none
	open                     // a session of its is nobody's: this start may get it yet, and so may others
	acquitted                // all of its sessions are this start's
)

// settleDoubts ends the frozen survivors that may be amidst a call of a session which
// isn't this start's: they'd go on with its first lease. What this start owns nobody else
// can get before that ends.
func (h *Host) settleDoubts(ctx context.Context) {
	until := time.Now().Add(doubtsWait)
	look := time.NewTicker(doubtsPause)
	defer look.Stop()
	for doubts := h.node.frozen; len(doubts) > 0 && ctx.Err() == nil; {
		doubts = h.judge(ctx, doubts, !time.Now().Before(until))
		if len(doubts) == 0 {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
}

// judge ends those that are condemned, at last those that are in doubt too, and returns
// the ones that are in doubt still.
func (h *Host) judge(ctx context.Context, frozen []host.WorkerID, last bool) (doubts []host.WorkerID) {
	self, holds := h.registry.Self()
	sessions, err := h.registry.Sessions(ctx)
	for _, w := range frozen {
		v := open
		if holds && err == nil {
			v = judged(w, self, sessions, h.registry.Lived)
		}
		switch {
		case v == acquitted:
		case v == open && !last:
			doubts = append(doubts, w)
		default:
			h.logger.Info("a frozen worker of the last host is ended: not all of its sessions are this node's", "worker", w)
			h.engine.Dislodge(w) //nolint:contextcheck // it must be gone before the lease, whatever comes
		}
	}
	return doubts
}

func judged(w host.WorkerID, self host.Owner, sessions []host.Session, lived func(host.SessionID) host.Left) verdict {
	v := condemned
	for _, s := range sessions {
		if s.Home != w && lived(s.ID).Home != w {
			continue
		}
		stays := s.Availability == host.AvailabilityLocal
		switch {
		case s.Owner.Node != self.Node, s.Home != w && s.Home != "":
			return condemned
		case s.Owner != self && !stays:
			v = open
		case v == condemned:
			v = acquitted
		}
	}
	return v
}
