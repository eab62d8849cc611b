//go:build linux && !race

package shim_test

const raceEnabled = false
