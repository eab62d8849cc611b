package host

import (
	"math/rand/v2"
	"time"
)

const (
	backoffBase  = 10 * time.Millisecond
	backoffMax   = 10 * time.Second
	backoffDecay = 10 * time.Second // of a worker's life halve what went before
	startWeight  = 5                // a failed start counts as much as this many deaths
	maxFailures  = 16
)

// backoff is how long a seat stays empty. One death costs 10 ms; each further one
// doubles it, up to 10 s, and every 10 s that a worker lived halve it again. A
// start that failed begins at a third of a second, since it costs a whole start
// to find out.
type backoff struct {
	failures int
}

func (b *backoff) died(lived time.Duration) {
	b.failures >>= min(lived/backoffDecay, maxFailures)
	b.add(1)
}

func (b *backoff) failedToStart() { b.add(startWeight) }

func (b *backoff) add(n int) { b.failures = min(b.failures+n, maxFailures) }

// delay is between half of the time and the whole, so that workers that died
// together don't come back together.
func (b *backoff) delay() time.Duration {
	if b.failures == 0 {
		return 0
	}
	d := min(backoffBase<<(b.failures-1), backoffMax)
	return d/2 + rand.N(d/2+1) //nolint:gosec // spreads load, protects nothing
}
