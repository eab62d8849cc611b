package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// buildTime is how long building the program may take, with nothing in the cache.
const buildTime = 5 * time.Minute

// Run builds the program, says where it is, and runs the tests; the result is what the
// test binary exits with. The built program is removed at the end.
func Run(m *testing.M, binary *string) int {
	dir, err := os.MkdirTemp("", "snakepit-test-")
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	*binary = filepath.Join(dir, "snakepit")
	if err := build(*binary); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "build the program:", err)
		return 1
	}
	return m.Run()
}

func build(binary string) error {
	root, err := root()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/host") //nolint:gosec // the path is ours
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, os.Stderr, os.Stderr
	return cmd.Run()
}

// Root is the directory of the module that the tests are part of.
func Root(t *testing.T) string {
	t.Helper()
	dir, err := root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the tests")
		}
	}
}

// Python is an interpreter that has the SDK: the one that SNAKEPIT_TEST_PYTHON names, else
// that of `make setup`.
func Python(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("SNAKEPIT_TEST_PYTHON"); path != "" {
		return path
	}
	path := filepath.Join(Root(t), ".venv", "bin", "python")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make setup`, or name an interpreter that has the SDK in SNAKEPIT_TEST_PYTHON", err)
	}
	return path
}
