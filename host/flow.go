package host

// flowKey names whose calls stand in one line: those of a caller, else of a
// session, else of all who name neither. Names of different kinds never meet.
type flowKey struct {
	kind flowKind
	name string
}

type flowKind uint8

const (
	flowShared  flowKind = iota // those that name nobody, together
	flowSession                 // the calls of one session
	flowCaller                  // the calls of one caller
)

func flowOf(r Request) flowKey {
	switch {
	case r.Caller != "":
		return flowKey{flowCaller, r.Caller}
	case r.Session != "":
		return flowKey{flowSession, string(r.Session)}
	}
	return flowKey{}
}

// flow is the line of one caller in one class. It's there only while somebody
// stands in it, so the queue's bound bounds the flows as well.
type flow struct {
	key     flowKey
	waiters fifo[*waiter]
	place   link[*flow] // in its round
	weight  int         // calls that it's granted each time it has the turn
	left    int         // of those
}

// round is a deficit round robin over the flows of one class. Every call costs
// one, so a flow's deficit is what it has left of its weight: the first flow has
// the turn until it has used that up, or has nobody left, and then goes to the end.
//
// So between two calls of a flow that always has somebody waiting, and before the
// first call of one that has just come, no other flow is granted more calls than
// its weight.
type round struct {
	flows  map[flowKey]*flow
	turns  fifo[*flow]
	weight int // of all flows
	passed int // calls of higher classes that were granted while somebody waited here
}

// keptFlows is how many flows a queue keeps for use again, so that callers that
// come and go cost no memory.
const keptFlows = 256

// join puts a waiter at the end of its flow, or at its front, when it has had its
// turn already: then a flow of its own has the turn next.
func (r *round) join(w *waiter, spare *[]*flow) {
	f := r.flows[w.ticket.flow]
	if f == nil {
		f = r.begin(w, spare)
	}
	if w.weight != f.weight { // it was changed meanwhile
		r.weight += w.weight - f.weight
		f.weight, f.left = w.weight, min(f.left, w.weight)
	}
	w.flow = f
	if w.ticket.served {
		f.waiters.pushFront(&w.place)
	} else {
		f.waiters.push(&w.place)
	}
}

func (r *round) begin(w *waiter, spare *[]*flow) *flow {
	var f *flow
	if n := len(*spare); n > 0 {
		f = (*spare)[n-1]
		*spare = (*spare)[:n-1]
	} else {
		f = &flow{}
		f.place.value = f
	}
	f.key, f.weight, f.left = w.ticket.flow, w.weight, w.weight
	if r.flows == nil {
		r.flows = map[flowKey]*flow{}
	}
	r.flows[f.key] = f
	r.weight += f.weight
	if w.ticket.served {
		r.turns.pushFront(&f.place)
	} else {
		r.turns.push(&f.place)
	}
	return f
}

// take grants the turn's first call; there must be one.
func (r *round) take(spare *[]*flow) *waiter {
	f := r.turns.head.value
	w := f.waiters.pop().value
	f.left--
	if f.waiters.count == 0 {
		r.end(f, spare)
	} else if f.left == 0 {
		f.left = f.weight
		r.turns.remove(&f.place)
		r.turns.push(&f.place)
	}
	return w
}

// leave takes a waiter out, and reports whether it stood here.
func (r *round) leave(w *waiter, spare *[]*flow) bool {
	if w.flow == nil || !w.flow.waiters.remove(&w.place) {
		return false
	}
	if w.flow.waiters.count == 0 {
		r.end(w.flow, spare)
	}
	return true
}

func (r *round) end(f *flow, spare *[]*flow) {
	r.turns.remove(&f.place)
	delete(r.flows, f.key)
	r.weight -= f.weight
	f.key = flowKey{}
	if len(*spare) < keptFlows {
		*spare = append(*spare, f)
	}
	if r.turns.count == 0 {
		r.passed = 0
	}
}
