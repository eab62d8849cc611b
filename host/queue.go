package host

// class is which calls go first.
type class int8

const (
	classNested class = iota // made by a call that holds a slot until this one has run
	classHigh
	classNormal
	classLow
	classes
	noClass class = -1
)

// yieldAtMost is how many calls of higher classes go before one of a lower class
// that waits, so that nobody starves.
const yieldAtMost = 16

func classOf(p Priority, nested bool) class {
	switch {
	case nested:
		return classNested
	case p > PriorityNormal:
		return classHigh
	case p < PriorityNormal:
		return classLow
	}
	return classNormal
}

// queue holds the calls that wait for a slot: a round of flows for each class. Each
// operation takes constant time whatever waits. The pool's mutex guards it.
type queue struct {
	rounds [classes]round
	count  int
	spare  []*flow
}

func (q *queue) push(w *waiter) {
	w.queue = q
	q.rounds[w.ticket.class].join(w, &q.spare)
	q.count++
}

// next is the class whose turn it is; noClass when nobody waits. Of those that have
// let enough pass the lowest comes first: so none lets more than yieldAtMost pass.
func (q *queue) next() class {
	if q.count == 0 {
		return noClass
	}
	first := noClass
	for c := classes - 1; c >= 0; c-- {
		if q.rounds[c].turns.count == 0 {
			continue
		}
		if q.rounds[c].passed >= yieldAtMost {
			return c
		}
		first = c
	}
	return first
}

// pop takes out the call that is next; nil when nobody waits.
func (q *queue) pop() *waiter {
	c := q.next()
	if c == noClass {
		return nil
	}
	q.rounds[c].passed = 0
	for lower := c + 1; lower < classes; lower++ {
		if q.rounds[lower].turns.count > 0 {
			q.rounds[lower].passed++
		}
	}
	q.count--
	return q.rounds[c].take(&q.spare)
}

// remove takes w out and reports whether it was in this queue.
func (q *queue) remove(w *waiter) bool {
	if !q.rounds[w.ticket.class].leave(w, &q.spare) {
		return false
	}
	q.count--
	return true
}

// nested reports whether a call waits whose ancestors hold slots.
func (q *queue) nested() bool { return q.rounds[classNested].turns.count > 0 }

// weight is that of all flows of a class.
func (q *queue) weight(c class) int { return q.rounds[c].weight }
