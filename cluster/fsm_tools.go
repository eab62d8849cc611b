package cluster

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// The limits of what nodes offer. They stand in the rules: all nodes have the same.
const (
	maxToolSet  = 96 << 10 // bytes of one set
	maxToolSets = 256      // of all nodes
	maxOffered  = 64       // sets of one node
	maxTools    = 4096     // of one node
)

// sum is a SHA-256.
type sum [sha256.Size]byte

func sumFromWire(b []byte) (s sum, ok bool) {
	return s, copy(s[:], b) == len(s) && len(b) == len(s)
}

// toolSet is a part of what nodes offer. It never changes.
type toolSet struct {
	content []byte
	tools   []host.OfferedTool
}

// offer is what one node offers: sets, and those that it has stored since and not
// offered yet. It never changes.
type offer struct {
	sets, stored []sum
}

// storeTools keeps a set. A node that stores more than it can offer has given up
// the first of them.
func (s *state) storeTools(c *snakepitv1.StoreTools) outcome {
	if err := s.serves(c.GetId(), c.GetIncarnation()); err != nil {
		return refused(err)
	}
	hash := sum(sha256.Sum256(c.GetContent()))
	if s.toolSets[hash] == nil {
		set, err := s.toolSetOf(c.GetContent())
		if err != nil {
			return refused(err)
		}
		s.toolSets[hash] = set
	}
	was := s.offer(c.GetId())
	if slices.Contains(was.stored, hash) {
		return outcome{}
	}
	stored := append(slices.Clone(was.stored), hash)
	s.offers[c.GetId()] = &offer{was.sets, stored[max(0, len(stored)-maxOffered):]}
	s.sweepTools()
	return outcome{}
}

func (s *state) toolSetOf(content []byte) (*toolSet, *errdefs.Error) {
	if len(content) > maxToolSet {
		return nil, errdefs.New(errdefs.PayloadTooLarge, "a set of tools of %d bytes, where %d is the limit", len(content), maxToolSet)
	}
	if len(s.toolSets) >= maxToolSets {
		e := errdefs.New(errdefs.QueueFull, "the nodes offer %d different sets of tools already", maxToolSets)
		e.Hint = "nodes with the same adapters share their sets"
		return nil, e
	}
	set := readToolSet(content)
	if set == nil {
		return nil, errdefs.New(errdefs.InvalidArguments, "what is to be stored is no set of tools")
	}
	return set, nil
}

// readToolSet gives nil for what is none.
func readToolSet(content []byte) *toolSet {
	w := &snakepitv1.ToolSet{}
	if proto.Unmarshal(content, w) != nil || len(w.GetTools()) > maxTools {
		return nil
	}
	set := &toolSet{content: bytes.Clone(content)}
	for _, t := range w.GetTools() {
		set.tools = append(set.tools, offeredFromWire(t))
	}
	return set
}

// offerTools has a node offer what is stored, all of it or none.
func (s *state) offerTools(c *snakepitv1.OfferTools) outcome {
	if err := s.serves(c.GetId(), c.GetIncarnation()); err != nil {
		return refused(err)
	}
	if len(c.GetSets()) > maxOffered {
		return refused(errdefs.New(errdefs.PayloadTooLarge, "node %q offers %d sets of tools, where %d is the limit", names.Cut(c.GetId()), len(c.GetSets()), maxOffered))
	}
	next, tools := &offer{}, 0
	for _, b := range c.GetSets() {
		hash, ok := sumFromWire(b)
		set := s.toolSets[hash]
		if !ok || set == nil {
			return refused(errdefs.New(errdefs.Conflict, "a set of tools that node %q offers isn't stored", names.Cut(c.GetId())))
		}
		if tools += len(set.tools); tools > maxTools {
			return refused(errdefs.New(errdefs.PayloadTooLarge, "node %q offers more than %d tools", names.Cut(c.GetId()), maxTools))
		}
		next.sets = append(next.sets, hash)
	}
	s.offers[c.GetId()] = next
	s.sweepTools()
	s.watch.nodes()
	return outcome{}
}

// withdraw forgets what a node offered.
func (s *state) withdraw(id string) {
	if s.offers[id] == nil {
		return
	}
	delete(s.offers, id)
	s.sweepTools()
}

// sweepTools forgets the sets that nobody offers, nor is about to.
func (s *state) sweepTools() {
	s.catalogue++
	used := map[sum]bool{}
	for _, o := range s.offers {
		for _, hash := range o.sets {
			used[hash] = true
		}
		for _, hash := range o.stored {
			used[hash] = true
		}
	}
	maps.DeleteFunc(s.toolSets, func(hash sum, _ *toolSet) bool { return !used[hash] })
}

func (s *state) offer(id string) *offer {
	if o := s.offers[id]; o != nil {
		return o
	}
	return &offer{}
}

func (s *state) present(id string, incarnation uint64) bool {
	known := s.nodes[id]
	return known != nil && known.Incarnation == incarnation && known.serves()
}

// serves refuses a node that may own nothing under an incarnation.
func (s *state) serves(id string, incarnation uint64) *errdefs.Error {
	if s.present(id, incarnation) {
		return nil
	}
	return errdefs.New(errdefs.Fenced, "node %q serves nothing under incarnation %d", names.Cut(id), incarnation)
}
