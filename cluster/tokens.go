package cluster

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// tokenLife is how long a token may be used, as the leader's clock has it.
const tokenLife = 24 * time.Hour

// Token lets nodes join, by a secret of which the registry has the SHA-256 alone.
type Token struct {
	Hash  [sha256.Size]byte
	Label string   // for people; at most 256 bytes of UTF-8
	Uses  int      // how many nodes may join with it: 1 to 64
	Spent []string // ids of those that did
}

// AddToken records a token that all nodes take from now on, for a day, or longer
// where the leader changes. One that is there already is left as it is. Errors:
// invalid_arguments; queue_full when 64 can be used already; conflict for a host that
// is no node of several; those of a write.
func (n *Node) AddToken(ctx context.Context, t Token) error {
	if t.Uses < 1 || t.Uses > maxUses || len(t.Label) > names.MaxID || !utf8.ValidString(t.Label) {
		return errdefs.New(errdefs.InvalidArguments, "a token has 1 to %d uses, and a label of at most %d bytes of UTF-8", maxUses, names.MaxID)
	}
	if err := n.several(ctx); err != nil {
		return err
	}
	_, err := n.propose(ctx, addToken(t.Hash, uint32(t.Uses), t.Label))
	return err
}

// DropToken forgets a token. One that isn't there is no error.
func (n *Node) DropToken(ctx context.Context, hash [sha256.Size]byte) error {
	if err := n.several(ctx); err != nil {
		return err
	}
	_, err := n.propose(ctx, dropToken(hash, 0, 0))
	return err
}

// SpendToken uses a token for a node that is about to join. It counts once for a
// node, however often it's asked for. Errors: permission_denied for a token that
// isn't known, or has no use left; invalid_arguments; those of a write.
func (n *Node) SpendToken(ctx context.Context, hash [sha256.Size]byte, node string) error {
	if err := names.CheckID("node", node); err != nil {
		return err
	}
	if err := n.several(ctx); err != nil {
		return err
	}
	spend := spendToken(hash, node)
	if err := n.allowed(spend); err != nil {
		return err
	}
	if !n.machine.admits(hash, node) { // it may have been made elsewhere just now
		if err := n.Consistent(ctx); err != nil {
			return err
		}
	}
	if !n.machine.admits(hash, node) { // strangers write nothing into the log
		return noToken(node)
	}
	_, err := n.propose(ctx, spend)
	return err
}

// Tokens lists the tokens that are known here, the oldest first.
func (n *Node) Tokens() []Token {
	all := []Token{}
	for _, t := range n.machine.tokens() {
		all = append(all, Token{Hash: t.hash, Label: t.label, Uses: int(t.uses), Spent: slices.Clone(t.spent)})
	}
	return all
}

func (m *machine) tokens() []*token {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.tokensByAge()
}

// admits reports whether a node may join with a token.
func (m *machine) admits(hash sum, node string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	t := m.state.tokens[hash]
	return t != nil && (!t.usedUp() || slices.Contains(t.spent, node))
}

// dropTokens forgets those that this leader has known for too long. What it began
// to know at its start may be older.
func (o *office) dropTokens(ctx context.Context) {
	now, all := o.m.clock.Now(), o.m.n.machine.tokens()
	known := make(map[uint64]time.Duration, len(all))
	for _, t := range all {
		since, ok := o.tokens[t.added]
		if !ok {
			since = now
		}
		known[t.added] = since
		if now-since < tokenLife {
			continue
		}
		if _, err := o.m.n.proposer.propose(ctx, dropToken(t.hash, t.added, o.term)); err != nil {
			break
		}
	}
	o.tokens = known
}
