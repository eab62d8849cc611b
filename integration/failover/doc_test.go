//go:build integration && linux

// Package failover_test has three hosts in network namespaces of their own, behind a
// router, with Python workers, and a client on none of them. It kills, stops, cuts off and
// starves them, and then looks at three things: what callers saw, what was
// acknowledged, and what the workers themselves wrote down.
package failover_test
