//go:build integration && linux

// Package chaos_test kills, stops and starts whatever belongs to a host, at random
// but from a seed, while callers call it, and ends by looking for what was left.
// A seed fixes which faults come in which order; the machine's own timing it can't fix.
package chaos_test
