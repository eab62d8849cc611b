//go:build !linux

package shim

// RemoveStaleCgroups finds none: there are no cgroups here.
func RemoveStaleCgroups(bool) []string { return nil }
