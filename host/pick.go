package host

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sort"

	"github.com/snakepit-go/snakepit/host/nearest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// toTool runs a call that belongs to no node yet: here, if its tool is here, else where
// the catalogue says that it is.
func (r *routes) toTool(wait, ctx context.Context, c *Call, accepted bool) (node string, err error) {
	if c.strayed() {
		return r.toOthers(wait, ctx, c, nil, accepted)
	}
	missing := c.aim(wait)
	switch {
	case missing == nil && r.spills(ctx, c):
		return r.spill(wait, ctx, c, accepted)
	case missing == nil:
		return "", r.host.openHere(wait, ctx, c, accepted)
	case !mayBeElsewhere(missing):
		return "", missing
	}
	return r.toOthers(wait, ctx, c, missing, accepted)
}

// toOthers hands the call to a node that offers its tool. missing is why it can't run
// here; nil: it can, but another node comes first.
func (r *routes) toOthers(wait, ctx context.Context, c *Call, missing error, accepted bool) (node string, err error) {
	offers, err := r.offers(c.req)
	switch {
	case err != nil:
		return "", err
	case len(offers) > 0:
		return r.toAnyOf(wait, ctx, c, offers, accepted)
	case missing != nil:
		return "", r.notAnywhere(c.req, missing)
	}
	return "", r.here(wait, ctx, c, accepted)
}

// mayBeElsewhere reports whether another node may have what this one hasn't.
func mayBeElsewhere(err error) bool {
	switch errdefs.ReasonOf(err) { //nolint:exhaustive // the rest would be the same there
	case errdefs.PoolNotFound, errdefs.ToolNotFound, errdefs.StartFailed, errdefs.PoolStarting:
		return true
	}
	return false
}

// mayTryNext reports whether a node has refused a call that another one may take.
func mayTryNext(err error) bool {
	if errdefs.MayHaveRun(err) {
		return false
	}
	switch errdefs.ReasonOf(err) { //nolint:exhaustive // the rest would be the same elsewhere
	case errdefs.HostUnreachable, errdefs.Draining, errdefs.NodeRemoved, errdefs.Fenced, errdefs.CircuitOpen, errdefs.QueueFull, errdefs.NoWorkers:
		return true
	}
	return mayBeElsewhere(err)
}

// toAnyOf hands the call to one of those that offer its tool, each in its turn, and to
// the next where one refuses it.
func (r *routes) toAnyOf(wait, ctx context.Context, c *Call, offers []NodeTool, accepted bool) (node string, err error) {
	first := r.turn.Add(1)
	for i := range offers {
		t := offers[(first+uint64(i))%uint64(len(offers))]
		node = t.Node
		err = r.forward(wait, ctx, c, handOff{node: t.Node, pool: t.Pool, accepted: accepted})
		if err == nil || !mayTryNext(err) || wait.Err() != nil {
			return node, err
		}
	}
	return node, err
}

// spills reports whether so many calls wait in the call's pool that it's to go
// elsewhere. Nested ones stay: they go first.
func (r *routes) spills(ctx context.Context, c *Call) bool {
	p := c.target.pool
	if p == nil || c.spilled || c.req.Session != "" || p.cfg().Spill == 0 || lineageOf(ctx) != nil {
		return false
	}
	return p.overloaded()
}

// overloaded reports whether more calls wait for each slot than Spill says.
func (p *pool) overloaded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.count > p.cfg().Spill*max(p.open, 1)
}

// spill hands the call to another node with the same pool, once; it runs here when
// that one doesn't take it.
func (r *routes) spill(wait, ctx context.Context, c *Call, accepted bool) (node string, err error) {
	c.spilled = true
	q := c.req
	q.Pool = c.target.pool.name
	offers, _ := r.offers(q)
	if len(offers) > 0 {
		t := offers[r.turn.Add(1)%uint64(len(offers))]
		err = r.forward(wait, ctx, c, handOff{node: t.Node, pool: t.Pool, accepted: accepted})
		if err == nil || !mayTryNext(err) || wait.Err() != nil {
			return t.Node, err
		}
	}
	return "", r.host.openHere(wait, ctx, c, accepted)
}

// list is what the other nodes offer.
func (r *routes) list() []NodeTool {
	if r == nil || r.tools == nil {
		return nil
	}
	return r.tools.NodeTools()
}

// named is the part of the list that has a name.
func (r *routes) named(name string) []NodeTool {
	list := r.list()
	from := sort.Search(len(list), func(i int) bool { return list[i].Name >= name })
	to := from
	for to < len(list) && list[to].Name == name {
		to++
	}
	return list[from:to]
}

// offers lists the nodes that offer what a request asks for: a host tool before those
// of pools, where none is named. It fails when several pools have one of the name.
func (r *routes) offers(q Request) ([]NodeTool, error) {
	found := r.named(q.Tool)
	if len(found) == 0 {
		return nil, nil
	}
	pool := q.Pool
	if pool == "" {
		pool = found[0].Pool // of no pool, if one is
	}
	from := slices.IndexFunc(found, func(t NodeTool) bool { return t.Pool == pool })
	if from < 0 {
		return nil, nil
	}
	found = found[from:]
	if to := slices.IndexFunc(found, func(t NodeTool) bool { return t.Pool != pool }); to >= 0 {
		if q.Pool == "" && pool != "" {
			return nil, ambiguous(q.Tool, []string{pool, found[to].Pool})
		}
		found = found[:to]
	}
	return found, nil
}

// toolOf is what the catalogue says of a tool; its name, if it says nothing.
func (r *routes) toolOf(name, pool string) *Tool {
	found := r.named(name)
	for i := range found {
		if pool == "" || pool == found[i].Pool {
			return &found[i].Tool
		}
	}
	return &Tool{Name: name}
}

// notAnywhere is the error of a call whose pool or tool nobody has; here says that this
// node hasn't.
func (r *routes) notAnywhere(q Request, here error) error {
	reason := errdefs.ReasonOf(here)
	pools, tools := map[string]bool{}, map[string]bool{}
	for _, t := range r.list() {
		pools[t.Pool] = true
		if q.Pool == "" || q.Pool == t.Pool {
			tools[t.Name] = true
		}
	}
	switch {
	case reason == errdefs.PoolNotFound && pools[q.Pool]:
		return toolNotFound(q.Tool, "pool "+q.Pool, maps.Keys(tools))
	case reason == errdefs.PoolNotFound || reason == errdefs.ToolNotFound:
		return hinted(here, q, pools, tools)
	}
	return here
}

// hinted adds the nearest name that another node has, where this one has none.
func hinted(err error, q Request, pools, tools map[string]bool) error {
	e := errdefs.Of(err)
	if e.Hint != "" {
		return err
	}
	hint := func(name string, known iter.Seq[string]) string { return nearest.Hint(names.Cut(name), known) }
	if e.Reason == errdefs.PoolNotFound {
		e.Hint = hint(q.Pool, maps.Keys(pools))
	} else {
		e.Hint = hint(q.Tool, maps.Keys(tools))
	}
	return e
}
