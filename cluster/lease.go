package cluster

import (
	"math"
	"time"
)

const (
	// leaseTTL is how long a lease lasts, from the moment its renewal was sent.
	leaseTTL = time.Second
	// leaseGrace is how much longer the leader waits before it declares a node down:
	// a tenth of the lease for a clock that is slow, as much for one that is fast,
	// and a rest.
	leaseGrace = 250 * time.Millisecond
	// renewEvery is the time between two renewals.
	renewEvery = 200 * time.Millisecond
)

// Forever is the deadline of a lease that doesn't end.
const Forever = time.Duration(math.MaxInt64)

// Lease is a node's right to own sessions. The zero value is none.
type Lease struct {
	Incarnation uint64        // under which the node is registered; a session's owner must have it
	Deadline    time.Duration // an instant of the node's [Clock]; Forever: the node is the only member
}

// Valid reports whether the lease lasts at an instant.
func (l Lease) Valid(now time.Duration) bool { return now < l.Deadline }

// granted is what a node has whose renewal, sent at an instant of its own clock, was
// granted. It has less than the leader thinks, since a message isn't received before
// it's sent.
func granted(incarnation uint64, sent time.Duration, alone bool) Lease {
	if alone {
		return Lease{Incarnation: incarnation, Deadline: Forever}
	}
	return Lease{Incarnation: incarnation, Deadline: sent + leaseTTL}
}

// deadAt is when a leader may be sure that a lease has ended whose renewal it received at an
// instant of its clock: clocks run apart by less than a tenth.
func deadAt(received time.Duration) time.Duration { return received + leaseTTL + leaseGrace }
