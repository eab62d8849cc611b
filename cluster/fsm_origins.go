package cluster

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	// maxOrigins is how many are remembered. An origin is one run of one node, so
	// those of which nobody has heard for so long have ended.
	maxOrigins = 64
	// maxOutcomes is how many are remembered of one origin. One that asks for an
	// outcome again has at most one entry under way.
	maxOutcomes = 4 * maxCommands
)

// origins remembers what became of commands whose origin may not know it yet, so
// that each is run only once however often it's proposed.
type origins map[string]*origin

type origin struct {
	index    uint64 // of its last entry
	highest  uint64 // number among its commands
	outcomes []numbered
}

type numbered struct {
	number uint64
	outcome
}

// enter finds or adds an origin whose entry at an index is about to be applied,
// and forgets the outcomes that it has been told.
func (o origins) enter(name string, answered, index uint64) *origin {
	from := o[name]
	if from == nil {
		o.makeRoom()
		from = &origin{}
		o[name] = from
	}
	from.index = index
	known := 0
	for known < len(from.outcomes) && from.outcomes[known].number < answered {
		known++
	}
	from.outcomes = slices.Delete(from.outcomes, 0, known)
	return from
}

// makeRoom forgets the origin that has been silent for longest.
func (o origins) makeRoom() {
	if len(o) < maxOrigins {
		return
	}
	delete(o, o.byIndex()[0])
}

// byIndex lists the names, those that were silent for longest first.
func (o origins) byIndex() []string {
	return slices.SortedFunc(maps.Keys(o), func(a, b string) int {
		return cmp.Or(cmp.Compare(o[a].index, o[b].index), strings.Compare(a, b))
	})
}

// outcome finds that of a command that was run before. A command that is so old
// that its outcome is forgotten isn't run again either.
func (o *origin) outcome(number uint64) (known outcome, ok bool) {
	if number > o.highest {
		return outcome{}, false
	}
	for _, n := range o.outcomes {
		if n.number == number {
			return n.outcome, true
		}
	}
	return refused(errdefs.New(errdefs.OutcomeUnknown, "command %d came again long after it was answered", number)), true
}

func (o *origin) remember(number uint64, out outcome) {
	o.highest = number
	if len(o.outcomes) >= maxOutcomes {
		o.outcomes = slices.Delete(o.outcomes, 0, 1)
	}
	o.outcomes = append(o.outcomes, numbered{number, out})
}

func (o origins) clone() origins {
	c := make(origins, len(o))
	for name, from := range o {
		c[name] = &origin{from.index, from.highest, slices.Clone(from.outcomes)}
	}
	return c
}
