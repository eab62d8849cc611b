//go:build !linux

package shim

// StaleCgroups finds none: there are no cgroups here.
func StaleCgroups() []StaleCgroup { return nil }

// Sweep has nothing to do.
func (*StaleCgroup) Sweep() bool { return true }
