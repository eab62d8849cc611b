package cluster

import (
	"context"
	"maps"
	"unicode/utf8"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// SetPoolOverride changes what the pools of a name are configured as, on all nodes:
// knobs and their values, in place of those that were set before; none: as each
// node's own configuration has it. What they mean is the host's business. At most 32
// knobs and 4 KiB, of at most 256 pools. Errors: payload_too_large;
// invalid_arguments; queue_full; those of a write.
func (n *Node) SetPoolOverride(ctx context.Context, pool string, knobs map[string]string) error {
	return n.override(ctx, setPoolOverride(pool, maps.Clone(knobs)))
}

// ChangePoolOverride is SetPoolOverride where former is what is set, and conflict
// where somebody else has changed it: then nothing has changed.
func (n *Node) ChangePoolOverride(ctx context.Context, pool string, former, knobs map[string]string) error {
	return n.override(ctx, changePoolOverride(pool, maps.Clone(former), maps.Clone(knobs)))
}

func (n *Node) override(ctx context.Context, cmd *snakepitv1.RegistryCommand) error {
	pool, knobs := cmd.GetSetPoolOverride().GetPool(), cmd.GetSetPoolOverride().GetKnobs()
	if err := checkOverride(pool, knobs); err != nil {
		return err
	}
	for knob, value := range knobs {
		if !utf8.ValidString(knob) || !utf8.ValidString(value) {
			return errdefs.New(errdefs.InvalidArguments, "a knob of pool %q isn't UTF-8", names.Cut(pool))
		}
	}
	_, err := n.propose(ctx, cmd)
	return err
}

// PoolOverrides gives the knobs that are set, by pool. It's read from memory, and is
// the caller's own.
func (n *Node) PoolOverrides() map[string]map[string]string {
	n.machine.mu.RLock()
	defer n.machine.mu.RUnlock()
	all := make(map[string]map[string]string, len(n.machine.state.overrides))
	for pool, knobs := range n.machine.state.overrides {
		all[pool] = maps.Clone(knobs)
	}
	return all
}

// tellOverrides tells the host what is set, whenever that has changed, once the node is
// open and until it ends.
func (n *Node) tellOverrides(opened, changed <-chan struct{}) {
	select {
	case <-opened:
	case <-n.ending:
		return
	}
	var last map[string]map[string]string // nil: it was told nothing yet, and may have read what is long past
	for {
		select {
		case <-changed:
		case <-n.ending:
			return
		}
		next := n.PoolOverrides()
		if last != nil && maps.EqualFunc(last, next, maps.Equal[map[string]string, map[string]string]) {
			continue
		}
		last = next
		n.cfg.OnOverrides(n.PoolOverrides())
	}
}
