//go:build integration && linux

package failover_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
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
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "snakepit-test-")
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "snakepit")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "../../cmd/host")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "build the program:", err)
		return 1
	}
	return m.Run()
}
