package cluster

import (
	"math"
	"time"
)

// On a fast network: see timing.
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
