//go:build integration && linux

package failover_test

import (
	"os"
	"testing"

	"github.com/snakepit-go/snakepit/integration/program"
)

// binary is the built program.
var binary string

// TestMain is the load's program as well, and the proxy's: they run in namespaces of
// their own, which a process enters whole.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(loadVariable) != "":
		os.Exit(loadMain())
	case os.Getenv(proxyVariable) != "":
		os.Exit(proxyMain())
	}
	os.Exit(program.Run(m, &binary))
}
