//go:build !linux

package cluster

import "time"

// runClock is the time since the start of the node.
type runClock struct{ began time.Time }

// Now implements [Clock].
func (c runClock) Now() time.Duration { return time.Since(c.began) }

func newClock() Clock { return runClock{time.Now()} }
