package host

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/snakepit-go/snakepit/host/nearest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// OfferedTool is a tool and who has it.
type OfferedTool struct {
	Tool
	Pool    string // empty: it's a host tool
	Exposed bool   // for host tools: workers may call it
}

// toolset is what the workers of a pool offer, without what is the host's own. It
// never changes.
type toolset struct {
	byName map[string]*Tool
}

func newToolset(tools []Tool) *toolset {
	s := &toolset{make(map[string]*Tool, len(tools))}
	for i := range tools {
		if !isReserved(tools[i].Name) {
			s.byName[tools[i].Name] = &tools[i]
		}
	}
	return s
}

func (s *toolset) names() iter.Seq[string] { return maps.Keys(s.byName) }

func toolNotFound(name, where string, names iter.Seq[string]) error {
	e := errdefs.New(errdefs.ToolNotFound, "no tool %s in %s", name, where)
	e.Hint = nearest.Hint(name, names)
	return e
}

// chain gives one sequence after the other.
func chain[T any](seqs ...iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, seq := range seqs {
			for v := range seq {
				if !yield(v) {
					return
				}
			}
		}
	}
}

func sortTools(tools []OfferedTool) {
	slices.SortFunc(tools, func(a, b OfferedTool) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Pool, b.Pool))
	})
}
