package host

import (
	"cmp"
	"time"
)

func (r Retry) withDefaults() Retry {
	r.Attempts = cmp.Or(r.Attempts, 3)
	r.Backoff = cmp.Or(r.Backoff, 20*time.Millisecond)
	r.MaxDelay = cmp.Or(r.MaxDelay, 2*time.Second)
	r.Jitter = cmp.Or(r.Jitter, 0.25)
	return r
}

func (b Barrier) withDefaults() Barrier {
	if b.ExitCodes == nil {
		b.ExitCodes = []int{139, 134, 137}
	}
	b.Retries = cmp.Or(b.Retries, 1)
	return b
}

func (b Breaker) withDefaults() Breaker {
	b.Threshold = cmp.Or(b.Threshold, 5)
	b.Reset = cmp.Or(b.Reset, 30*time.Second)
	b.Probes = cmp.Or(b.Probes, 1)
	return b
}

func (h Heartbeat) withDefaults() Heartbeat {
	h.Interval = cmp.Or(h.Interval, 2*time.Second)
	h.Timeout = cmp.Or(h.Timeout, 10*time.Second)
	h.MaxMissed = cmp.Or(h.MaxMissed, 3)
	return h
}

// validateFaults checks what is said about faults.
func (p PoolConfig) validateFaults(name string, check func(ok bool, format string, args ...any)) {
	check(p.Retry.Attempts > 0, "pool %q: Retry.Attempts is negative", name)
	check(p.Retry.Backoff > 0, "pool %q: Retry.Backoff is negative", name)
	check(p.Retry.MaxDelay > 0, "pool %q: Retry.MaxDelay is negative", name)
	check(p.Retry.Jitter <= 1, "pool %q: Retry.Jitter %g isn't 0 to 1", name, p.Retry.Jitter)
	check(p.Barrier.Taint >= 0, "pool %q: Barrier.Taint is negative", name)
	for _, code := range p.Barrier.ExitCodes {
		check(code >= 0 && code <= 255, "pool %q: Barrier.ExitCodes: %d isn't 0 to 255", name, code)
	}
	for _, t := range p.Barrier.ErrorTypes {
		class, _ := splitErrorType(t)
		check(class != "", "pool %q: Barrier.ErrorTypes: %q names no class", name, t)
	}
	check(p.Breaker.Reset > 0, "pool %q: Breaker.Reset is negative", name)
	check(p.Breaker.Probes > 0, "pool %q: Breaker.Probes is negative", name)
	check(p.Heartbeat.Timeout > 0, "pool %q: Heartbeat.Timeout is negative", name)
	check(p.Heartbeat.MaxMissed > 0, "pool %q: Heartbeat.MaxMissed is negative", name)
	check(p.Heartbeat.BusyTimeout >= 0, "pool %q: Heartbeat.BusyTimeout is negative", name)
}
