//go:build !linux

package shim

// ApplyLimits holds nobody to anything on this system.
func ApplyLimits(_ int, l Limits) []Limit { return l.unmet("it isn't possible on this system") }
