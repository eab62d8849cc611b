//go:build linux

package plugin

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs the tests, or is the host that one of them has started.
func TestMain(m *testing.M) {
	if config := os.Getenv(hostVariable); config != "" {
		os.Exit(beHost(config))
	}
	// Under the race detector guard and shim would each wait a second at their end.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		os.Exit(complain(err))
	}
	goleak.VerifyTestMain(m)
}
