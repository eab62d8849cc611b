package host

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	// offerDelay lets changes that come together be told together.
	offerDelay = 100 * time.Millisecond
	offerRetry = time.Second
	offerWait  = 10 * time.Second // for one answer of the registry
)

// offering tells the registry what this node's tools are, behind everybody's back.
type offering struct {
	registry ToolRegistry // nil: nobody wants to know
	owners   OwnerRegistry
	tools    func() []OfferedTool
	log      hclog.Logger
	changed  chan struct{} // holds a token when there may be others than before
}

// joinOthers makes the host one of several nodes, where there are such.
func (h *Host) joinOthers() {
	h.routes = newRoutes(h)
	h.sessions.routes = h.routes
	h.tools.others = h.routes.list
	registry, _ := h.cfg.Registry.(ToolRegistry)
	owners, _ := h.cfg.Registry.(OwnerRegistry)
	h.offering = &offering{
		registry: registry, owners: owners, log: h.log, changed: make(chan struct{}, 1),
		tools: func() []OfferedTool { return h.ownTools("") },
	}
	h.tools.changed = h.offering.poke
	if len(h.order) == 0 {
		h.offering.poke() // an earlier start may have had some
	}
	for _, p := range h.order {
		p.offers = h.offering.poke
	}
}

// poke says that something may have changed; it doesn't block.
func (o *offering) poke() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// run tells the registry of each change until ctx ends. Until a pool has a worker, what
// an earlier start of this node has said stands.
func (o *offering) run(ctx context.Context) {
	if o.registry == nil {
		return
	}
	var told []OfferedTool
	var as Owner
	for o.await(ctx, as) && sleep(ctx, offerDelay) {
		o.taken()
		list, self := o.tools(), o.self()
		if self == as && slices.Equal(list, told) {
			continue
		}
		if err := o.tell(ctx, list); err == nil {
			told, as = list, self
		} else if sleep(ctx, offerRetry) {
			o.poke()
		}
	}
}

// await waits for a change, of the tools or of the registration that they stand under,
// and reports whether there was one before ctx ended.
func (o *offering) await(ctx context.Context, as Owner) bool {
	every := time.NewTicker(offerRetry)
	defer every.Stop()
	for {
		select {
		case <-o.changed:
			return true
		case <-every.C:
			if as != (Owner{}) && o.self() != as {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// taken takes the token of what is about to be told.
func (o *offering) taken() {
	select {
	case <-o.changed:
	default:
	}
}

func (o *offering) self() (self Owner) {
	if o.owners != nil {
		self, _ = o.owners.Self()
	}
	return self
}

func (o *offering) tell(ctx context.Context, list []OfferedTool) error {
	ctx, cancel := context.WithTimeout(ctx, offerWait)
	defer cancel()
	err := o.registry.PublishTools(ctx, list)
	if errdefs.ReasonOf(err) == errdefs.PayloadTooLarge {
		o.log.Error("other nodes aren't told of this node's tools", "tools", len(list), "error", err)
		return nil // the next change may mend it
	}
	if err != nil {
		o.log.Debug("other nodes aren't told of this node's tools yet", "error", err)
	}
	return err
}
