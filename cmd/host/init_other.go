//go:build !linux

package main

// firstProcess is false: only Linux has PID namespaces.
func firstProcess() bool { return false }

func runAsFirst() int { return 1 }
