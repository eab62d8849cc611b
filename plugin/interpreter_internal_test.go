//go:build unix

package plugin

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/snakepit-go/snakepit/adapters/python"
	"github.com/snakepit-go/snakepit/host"
)

// Interpreter is the Python that has the SDK.
func Interpreter(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("SNAKEPIT_TEST_PYTHON"); p != "" {
		return p
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(filepath.Dir(dir), ".venv", "bin", "python")
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("no Python environment with the SDK: run `make setup`, or set SNAKEPIT_TEST_PYTHON (%v)", err)
	}
	return p
}

// countingCommand starts a worker with the counting adapter.
func countingCommand(t *testing.T) host.Command {
	t.Helper()
	return commandOf(t, counting)
}

// commandOf starts a worker with an adapter given as source.
func commandOf(t *testing.T, source string) host.Command {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "adapter.py"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, err := python.Target{Adapter: "adapter.py", Dir: dir, Interpreter: Interpreter(t)}.Command()
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// counting is an adapter whose memory can be asked for.
const counting = `
import ctypes, os, sys
from snakepit import tool

times = 0

@tool
def remember() -> int:
    global times
    times += 1
    return times

@tool
def shout():
    print("loud and clear", file=sys.stderr, flush=True)

@tool
def die():
    print("last words", file=sys.stderr, flush=True)
    os._exit(5)

@tool
def stuck():
    mutex = ctypes.create_string_buffer(128)
    for _ in range(2):
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)
`
