package host

import (
	"context"
	"slices"
)

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

// withAncestry is the context of a call from another node.
func withAncestry(ctx context.Context, chain []SessionID) context.Context {
	if len(chain) == 0 {
		return ctx
	}
	return withLineage(ctx, ancestry(chain))
}
