package plugin

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/snakepit-go/snakepit/adapters/python"
	"github.com/snakepit-go/snakepit/host"
)

// TestMain runs the tests, or is the host that one of them has started.
func TestMain(m *testing.M) {
	if config := os.Getenv(hostVariable); config != "" {
		os.Exit(beHost(config))
	}
	goleak.VerifyTestMain(m)
}

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

// pythonCommand starts a worker for an adapter given as source.
func pythonCommand(t *testing.T, source string) host.Command {
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
