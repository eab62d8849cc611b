package host

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/host/nearest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// target is what a call will run: a tool of a pool, or of the host.
type target struct {
	tool *Tool
	pool *pool     // nil: the host
	host *HostTool // nil: a pool
}

// resolve finds the tool that a request means: in the pool that it names; else
// among the host's; else in the pool of its session; else in the only pool that
// has one of that name. Where several have one, the request must name the pool:
// a guess would change with the order in which they start.
func (h *Host) resolve(ctx context.Context, r Request) (target, error) {
	if r.Pool != "" {
		p := h.pools[r.Pool]
		if p == nil {
			return target{}, h.poolNotFound(r.Pool)
		}
		return h.inPool(ctx, p, r.Tool)
	}
	if t := h.tools.find(r.Tool); t != nil {
		return target{tool: &t.Tool, host: t}, nil
	}
	if s := h.sessions.find(r.Session); s != nil {
		if p := s.boundTo(); p != nil {
			return h.inPool(ctx, p, r.Tool)
		}
	}
	if len(h.order) == 1 {
		return h.inPool(ctx, h.order[0], r.Tool)
	}
	if p := h.recorded(ctx, r.Session); p != nil {
		return h.inPool(ctx, p, r.Tool)
	}
	return h.inAnyPool(ctx, r.Tool)
}

// recorded is the pool of a session that this node owns and hasn't had a call of yet;
// nil: it isn't known.
func (h *Host) recorded(ctx context.Context, id SessionID) *pool {
	if h.routes == nil || id == "" {
		return nil
	}
	record, err := h.cfg.Registry.Session(ctx, id)
	if err != nil {
		return nil
	}
	return h.pools[record.Pool]
}

func (h *Host) poolNotFound(name string) error {
	const most = 10 // that the message names
	var there []string
	for _, p := range h.order[:min(len(h.order), most)] {
		there = append(there, p.name)
	}
	e := errdefs.New(errdefs.PoolNotFound, "no pool %q; there are: %s", names.Cut(name), strings.Join(there, ", "))
	e.Hint = nearest.Hint(name, maps.Keys(h.pools))
	return e
}

func (h *Host) inPool(ctx context.Context, p *pool, name string) (target, error) {
	tools, err := p.awaitTools(ctx)
	if err != nil {
		return target{}, err
	}
	if t := tools.byName[name]; t != nil {
		return target{tool: t, pool: p}, nil
	}
	return target{}, toolNotFound(name, "pool "+p.name, h.nearby(p))
}

// inAnyPool looks at the pools that have started, and waits for the others only
// when none of those has the tool.
func (h *Host) inAnyPool(ctx context.Context, name string) (target, error) {
	var found []target
	var starting []*pool
	for _, p := range h.order {
		if tools := p.tools.Load(); tools == nil {
			starting = append(starting, p)
		} else if t := tools.byName[name]; t != nil {
			found = append(found, target{tool: t, pool: p})
		}
	}
	switch len(found) {
	case 0:
		return h.inStarting(ctx, starting, name)
	case 1:
		return found[0], nil
	}
	var pools []string
	for _, f := range found {
		pools = append(pools, f.pool.name)
	}
	return target{}, ambiguous(name, pools)
}

// inStarting takes the first pool that has the tool once it has started. A pool
// that can't start is what's wrong only when no other has the tool.
func (h *Host) inStarting(ctx context.Context, starting []*pool, name string) (target, error) {
	var failed error
	for _, p := range starting {
		tools, err := p.awaitTools(ctx)
		if err != nil {
			failed = err
		} else if t := tools.byName[name]; t != nil {
			return target{tool: t, pool: p}, nil
		}
	}
	if failed != nil {
		return target{}, failed
	}
	return target{}, toolNotFound(name, "any pool", h.nearby(h.order...))
}

func ambiguous(name string, pools []string) error {
	e := errdefs.New(errdefs.InvalidArguments, "several pools have a tool %s: %s", name, strings.Join(pools, ", "))
	e.Hint = "name the pool"
	return e
}

// nearby gives the names that someone who mistyped one may have meant.
func (h *Host) nearby(pools ...*pool) iter.Seq[string] {
	seqs := []iter.Seq[string]{namesOf(h.tools.all())}
	for _, p := range pools {
		if t := p.tools.Load(); t != nil {
			seqs = append(seqs, t.names())
		}
	}
	return chain(seqs...)
}

// Tools lists what can be called, sorted by name, then pool: the tools of one
// pool, or of all and the host with an empty name. A pool that has never had a
// worker has none yet.
//
// Among several nodes it's one catalogue of all, each pool's tools once: as this node
// has them, if it does.
func (h *Host) Tools(pool string) []OfferedTool {
	list := h.ownTools(pool)
	others := h.routes.list()
	if len(others) == 0 {
		return list
	}
	known := map[[2]string]bool{}
	for _, t := range list {
		known[[2]string{t.Name, t.Pool}] = true
	}
	for _, t := range others {
		if key := [2]string{t.Name, t.Pool}; (pool == "" || pool == t.Pool) && !known[key] {
			list = append(list, t.OfferedTool)
			known[key] = true
		}
	}
	sortTools(list)
	return list
}

func (h *Host) ownTools(pool string) []OfferedTool {
	list := []OfferedTool{}
	if pool == "" {
		for _, t := range h.tools.all() {
			list = append(list, OfferedTool{Tool: t.Tool, Exposed: t.Exposed})
		}
	}
	for _, p := range h.order {
		if t := p.tools.Load(); t != nil && (pool == "" || pool == p.name) {
			for _, tool := range slices.Collect(maps.Values(t.byName)) {
				list = append(list, OfferedTool{Tool: *tool, Pool: p.name})
			}
		}
	}
	sortTools(list)
	return list
}
