package cluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// pieceSize is what a set of tools is filled up to.
const pieceSize = 64 << 10

// PublishTools implements host.ToolRegistry. It writes what isn't stored yet, in
// pieces, and then that this node offers them: others see all of it, or what was
// there before. At most 4,096 tools, of at most 96 KiB each, in at most 64 pieces of
// one pool and 64 KiB. Where nothing has changed, nothing is written. Errors:
// payload_too_large; invalid_arguments; fenced while the node isn't registered;
// queue_full when all nodes together offer too much; those of a write.
func (n *Node) PublishTools(ctx context.Context, tools []host.OfferedTool) error {
	pieces, err := pieced(tools)
	if err != nil {
		return err
	}
	if err := n.check(ctx); err != nil || n.mesh == nil {
		return err
	}
	self := Owner{Node: n.ID(), Incarnation: n.mesh.incarnation()}
	sums := make([]sum, 0, len(pieces))
	for _, content := range pieces {
		sums = append(sums, sha256.Sum256(content))
	}
	missing, offered := n.machine.missing(self.Node, sums)
	if offered {
		return nil
	}
	for _, i := range missing {
		if _, err := n.propose(ctx, storeTools(self, pieces[i])); err != nil {
			return err
		}
	}
	_, err = n.propose(ctx, offerTools(self, sums))
	return err
}

// missing gives the places of the sums that this node hasn't stored, and whether it
// offers just these.
func (m *machine) missing(id string, sums []sum) (places []int, offered bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	o := m.state.offer(id)
	for i, hash := range sums {
		if !slices.Contains(o.sets, hash) {
			places = append(places, i)
		}
	}
	return places, slices.Equal(o.sets, sums)
}

// pieced divides tools into sets that each fit one command: those of one pool, by
// name. Equal tools give equal sets.
func pieced(tools []host.OfferedTool) ([][]byte, error) {
	if len(tools) > maxTools {
		return nil, errdefs.New(errdefs.PayloadTooLarge, "a node offers %d tools, where %d is the limit", len(tools), maxTools)
	}
	sorted := slices.Clone(tools)
	slices.SortFunc(sorted, func(a, b host.OfferedTool) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), strings.Compare(a.Name, b.Name))
	})
	var pieces [][]byte
	for len(sorted) > 0 {
		set, taken := fill(sorted)
		content, err := toolSetToWire(set)
		if err != nil {
			return nil, errdefs.Wrap(errdefs.InvalidArguments, err, "the tools of pool %q can't be written down", sorted[0].Pool)
		}
		if len(content) > maxToolSet {
			return nil, errdefs.New(errdefs.PayloadTooLarge, "tool %s is described in %d bytes, where %d is the limit", names.Cut(sorted[0].Name), len(content), maxToolSet)
		}
		pieces, sorted = append(pieces, content), sorted[taken:]
	}
	if len(pieces) > maxOffered {
		return nil, errdefs.New(errdefs.PayloadTooLarge, "%d tools are described in %d pieces, where %d is the limit", len(tools), len(pieces), maxOffered)
	}
	return pieces, nil
}

// fill takes tools of one pool from the front, at least one.
func fill(tools []host.OfferedTool) (set *snakepitv1.ToolSet, taken int) {
	set = &snakepitv1.ToolSet{}
	size := 0
	for _, t := range tools {
		w := offeredToWire(t)
		size += proto.Size(w) + 8
		if taken > 0 && (size > pieceSize || t.Pool != tools[0].Pool) {
			break
		}
		set.Tools = append(set.Tools, w)
		taken++
	}
	return set, taken
}

// offered is what all nodes offered at one state of the registry.
type offered struct {
	at    uint64
	tools []host.NodeTool
}

// NodeTools implements host.ToolRegistry. What it gives is kept until a node or what
// it offers changes.
func (n *Node) NodeTools() []host.NodeTool {
	if n.mesh == nil {
		return nil
	}
	return n.machine.nodeTools(n.ID())
}

func (m *machine) nodeTools(except string) []host.NodeTool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if known := m.offered.Load(); known != nil && known.at == m.state.catalogue {
		return known.tools
	}
	var all []host.NodeTool
	for id, o := range m.state.offers {
		if row := m.state.nodes[id]; id == except || row == nil || row.Status != StatusUp {
			continue
		}
		for _, hash := range o.sets {
			for _, t := range m.state.toolSets[hash].tools {
				all = append(all, host.NodeTool{OfferedTool: t, Node: id})
			}
		}
	}
	slices.SortFunc(all, func(a, b host.NodeTool) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Pool, b.Pool), strings.Compare(a.Node, b.Node))
	})
	m.offered.Store(&offered{m.state.catalogue, all})
	return all
}
