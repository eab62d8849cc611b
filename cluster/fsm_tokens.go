package cluster

import (
	"cmp"
	"maps"
	"slices"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	// maxTokens is how many are kept, those included that are used up.
	maxTokens = 64
	// maxUses is how many nodes may join with one.
	maxUses = maxNodes
)

// token lets nodes join. It never changes.
type token struct {
	hash  sum // of its secret
	uses  uint32
	label string
	spent []string // ids of the nodes that joined with it
	added uint64   // an epoch
}

func (t *token) usedUp() bool { return len(t.spent) >= int(t.uses) }

func (s *state) addToken(c *snakepitv1.AddToken, at position) outcome {
	hash, ok := sumFromWire(c.GetHash())
	switch {
	case !ok || c.GetUses() < 1 || c.GetUses() > maxUses || len(c.GetLabel()) > names.MaxID:
		return refused(errdefs.New(errdefs.InvalidArguments, "a token needs a SHA-256, 1 to %d uses, and a label of at most %d bytes", maxUses, names.MaxID))
	case s.tokens[hash] != nil:
		return outcome{}
	case len(s.tokens) >= maxTokens && !s.dropUsedUp():
		e := errdefs.New(errdefs.QueueFull, "%d tokens can be used already", maxTokens)
		e.Hint = "drop some; each is dropped after a day by itself"
		return refused(e)
	}
	s.tokens[hash] = &token{hash: hash, uses: c.GetUses(), label: c.GetLabel(), added: at.epoch}
	return outcome{}
}

// dropUsedUp makes room where the oldest token has no uses left that any has that
// is used up.
func (s *state) dropUsedUp() bool {
	for _, t := range s.tokensByAge() {
		if t.usedUp() {
			delete(s.tokens, t.hash)
			return true
		}
	}
	return false
}

func (s *state) tokensByAge() []*token {
	return slices.SortedFunc(maps.Values(s.tokens), func(a, b *token) int {
		return cmp.Or(cmp.Compare(a.added, b.added), slices.Compare(a.hash[:], b.hash[:]))
	})
}

func (s *state) dropToken(c *snakepitv1.DropToken, at position) outcome {
	if c.GetTerm() != 0 {
		if err := at.sameTerm(c.GetTerm()); err != nil {
			return refused(err)
		}
	}
	hash, _ := sumFromWire(c.GetHash())
	if t := s.tokens[hash]; t != nil && (c.GetAdded() == 0 || c.GetAdded() == t.added) {
		delete(s.tokens, hash)
	}
	return outcome{}
}

func (s *state) spendToken(c *snakepitv1.SpendToken) outcome {
	hash, _ := sumFromWire(c.GetHash())
	t := s.tokens[hash]
	switch {
	case t != nil && slices.Contains(t.spent, c.GetNode()):
		return outcome{}
	case t == nil || t.usedUp():
		return refused(noToken(c.GetNode()))
	case names.CheckID("node", c.GetNode()) != nil:
		return refused(errdefs.New(errdefs.InvalidArguments, "a token is spent for a node's id"))
	}
	next := *t
	next.spent = append(slices.Clone(t.spent), c.GetNode())
	s.tokens[hash] = &next
	return outcome{}
}

func noToken(node string) *errdefs.Error {
	e := errdefs.New(errdefs.PermissionDenied, "node %q has a token that isn't known, or was used", names.Cut(node))
	e.Hint = "make a new one on a member; each lasts a day"
	return e
}
