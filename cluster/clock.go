package cluster

import "time"

// Clock gives the instants that leases are stamped with: time since some moment,
// which goes on while the machine sleeps, and is never set. Two clocks are never
// compared, only the rates at which they run, which must be within 10 % of true.
type Clock interface {
	Now() time.Duration
}
