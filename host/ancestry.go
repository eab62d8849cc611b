package host

import (
	"context"
	"slices"
)

// Ancestors names the sessions of the calls that those made with ctx are nested in, as
// Forwarded does. It's what goes along with a host tool's call to another node.
func Ancestors(ctx context.Context) []SessionID { return lineageOf(ctx).ancestors() }

// WithAncestors is the context of what another node asks for: calls made with it are
// nested in those that the node has named.
func WithAncestors(ctx context.Context, chain []SessionID) context.Context {
	if len(chain) == 0 {
		return ctx
	}
	return withLineage(ctx, ancestry(chain))
}

// ancestors names the sessions of the calls that l stands for, each once, for another
// node.
func (l *lineage) ancestors() []SessionID {
	var chain []SessionID
	for ; l != nil; l = l.parent {
		if !slices.Contains(chain, l.session) {
			chain = append(chain, l.session)
		}
	}
	return chain
}

// ancestry is the lineage that another node names; nil: none. What its calls hold of
// workers isn't known here.
func ancestry(chain []SessionID) (l *lineage) {
	for _, id := range slices.Backward(chain) {
		l = &lineage{session: id, parent: l}
	}
	return l
}
