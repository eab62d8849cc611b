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
	goleak.VerifyTestMain(m)
}
