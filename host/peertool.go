package host

import (
	"context"
	"iter"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// serveTool runs a host tool for a worker, here or on another node.
func (h *Host) serveTool(ctx context.Context, line *lineage, inv Invocation) ([]byte, error) {
	if h.routes != nil && !isReserved(inv.Tool) && !h.tools.exposes(inv.Tool) {
		if offers := h.routes.exposed(inv.Tool); len(offers) > 0 {
			return h.routes.serveTool(withLineage(ctx, line), inv, offers)
		}
	}
	return h.tools.serve(withLineage(ctx, line), inv.Tool, inv.Payload)
}

func (t *hostTools) exposes(name string) bool {
	tool := t.find(name)
	return tool != nil && tool.Exposed
}

// callable lists what workers may call, here and on other nodes, each name once.
func (t *hostTools) callable() []OfferedTool {
	var list []OfferedTool
	known := map[string]bool{}
	for _, x := range t.exposed() {
		list = append(list, OfferedTool{Tool: x.Tool, Exposed: true})
		known[x.Name] = true
	}
	for _, x := range t.others() {
		if x.Pool == "" && x.Exposed && !known[x.Name] {
			list = append(list, x.OfferedTool)
			known[x.Name] = true
		}
	}
	sortTools(list)
	return list
}

func (t *hostTools) callableNames() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, x := range t.callable() {
			if !yield(x.Name) {
				return
			}
		}
	}
}

// exposed lists the nodes that offer a host tool to workers.
func (r *routes) exposed(name string) (found []NodeTool) {
	for _, t := range r.named(name) {
		if t.Pool == "" && t.Exposed {
			found = append(found, t)
		}
	}
	return found
}

// serveTool asks those that offer a host tool, each in its turn, until one runs it.
func (r *routes) serveTool(ctx context.Context, inv Invocation, offers []NodeTool) (result []byte, err error) {
	first := r.turn.Add(1)
	for i := range offers {
		node := offers[(first+uint64(i))%uint64(len(offers))].Node
		result, err = r.peers.ServeTool(ctx, node, inv)
		if err == nil {
			return result, nil
		}
		err = locate(err, errdefs.Where{Node: node})
		if !mayTryNext(err) || ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// closeSession ends a session where it is, and waits while that is nowhere.
func (r *routes) closeSession(ctx context.Context, id SessionID) error {
	c := &Call{host: r.host, req: Request{Session: id}}
	for {
		node, err := r.tryClose(ctx, id)
		if err == nil || !movedOn(err) && (node == "" || errdefs.ReasonOf(err) != errdefs.Draining) {
			return err
		}
		if !r.pause(ctx, c) {
			return r.inVain(ctx, c, node, err)
		}
	}
}

func (r *routes) tryClose(ctx context.Context, id SessionID) (node string, err error) {
	owner, _, err := r.owners.Owner(ctx, id)
	whose := r.whoseIs(ctx, id, owner)
	switch {
	case err != nil, whose == ours: // what isn't known may still be in the table
		return "", r.host.sessions.close(ctx, id)
	case whose == theirs:
		err = r.peers.CloseSession(ctx, owner.Node, id)
		return owner.Node, located(err, owner.Node)
	}
	return "", whose.refuse(id, owner)
}

func located(err error, node string) error {
	if err == nil {
		return nil
	}
	return locate(err, errdefs.Where{Node: node})
}
