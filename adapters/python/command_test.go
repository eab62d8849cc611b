package python_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/adapters/python"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// workspace is a folder with an adapter and something that looks like a virtual
// environment.
func workspace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"digits.py": 0o600, "env/bin/python": 0o700, "env/bin/readme": 0o600} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFileTargetsBecomeAbsoluteAndModulesStay(t *testing.T) {
	t.Parallel()
	dir := workspace(t)
	for adapter, want := range map[string]string{
		"digits.py":                                     filepath.Join(dir, "digits.py"),
		"digits.py:Digits":                              filepath.Join(dir, "digits.py") + ":Digits",
		"./digits.py:Digits":                            filepath.Join(dir, "digits.py") + ":Digits",
		filepath.Join(dir, "digits.py"):                 filepath.Join(dir, "digits.py"),
		"package.module":                                "package.module",
		"package.module:Digits":                         "package.module:Digits",
		filepath.Join(dir, "digits.py") + ":NotYetSeen": filepath.Join(dir, "digits.py") + ":NotYetSeen",
	} {
		cmd, err := python.Target{Adapter: adapter, Interpreter: "env", Dir: dir}.Command()
		if err != nil {
			t.Errorf("%s: %v", adapter, err)
			continue
		}
		if got := cmd.Args[len(cmd.Args)-1]; got != want {
			t.Errorf("%s is served as %s, want %s", adapter, got, want)
		}
		if cmd.Path != filepath.Join(dir, "env/bin/python") {
			t.Errorf("%s runs with %s, want the environment's python", adapter, cmd.Path)
		}
		if cmd.Adapter != adapter {
			t.Errorf("Adapter = %q, want it as written: %q", cmd.Adapter, adapter)
		}
	}
}

func TestBadTargetsSayWhatWasLookedFor(t *testing.T) {
	t.Parallel()
	dir := workspace(t)
	for name, c := range map[string]struct {
		target python.Target
		want   string
	}{
		"nothing":              {python.Target{}, "no adapter given"},
		"missing file":         {python.Target{Adapter: "nowhere.py"}, filepath.Join(dir, "nowhere.py") + " can't be read: it doesn't exist"},
		"folder":               {python.Target{Adapter: "./env"}, "is a folder"},
		"missing interpreter":  {python.Target{Adapter: "digits.py", Interpreter: "/nowhere/python3"}, "/nowhere/python3 doesn't exist"},
		"not an interpreter":   {python.Target{Adapter: "digits.py", Interpreter: "env/bin/readme"}, "can't be executed"},
		"unknown on PATH":      {python.Target{Adapter: "digits.py", Interpreter: "python-that-is-not-there"}, "isn't on PATH"},
		"environment is empty": {python.Target{Adapter: "digits.py", Interpreter: "env/bin"}, "doesn't exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.target.Dir = dir
			if c.target.Interpreter == "" {
				c.target.Interpreter = "env"
			}
			_, err := c.target.Command()
			if got := errdefs.ReasonOf(err); got != errdefs.InvalidConfig {
				t.Fatalf("reason = %q (%v), want invalid_config", got, err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q doesn't say %q", err, c.want)
			}
		})
	}
}

func TestModulesAreImportedFromTheFolder(t *testing.T) {
	dir := workspace(t)
	t.Setenv("PYTHONPATH", "/elsewhere")
	cmd, err := python.Target{Adapter: "digits", Interpreter: "env", Dir: dir}.Command()
	if err != nil {
		t.Fatal(err)
	}
	if want := "PYTHONPATH=" + dir + ":/elsewhere"; cmd.Env[0] != want {
		t.Errorf("Env[0] = %s, want %s", cmd.Env[0], want)
	}
}

func TestActiveEnvironmentIsUsedWhenNoneIsNamed(t *testing.T) {
	dir := workspace(t)
	t.Setenv("VIRTUAL_ENV", filepath.Join(dir, "env"))
	cmd, err := python.Target{Adapter: "digits.py", Dir: dir}.Command()
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "env/bin/python"); cmd.Path != want {
		t.Errorf("runs with %s, want %s", cmd.Path, want)
	}
}

func TestSourcesAreWhereTheAdaptersCodeIs(t *testing.T) {
	t.Parallel()
	dir := workspace(t)
	if err := os.Mkdir(filepath.Join(dir, "package"), 0o700); err != nil {
		t.Fatal(err)
	}
	for adapter, want := range map[string][]string{
		"digits.py":             {dir},
		"./digits.py:Digits":    {dir},
		"package.module:Digits": {filepath.Join(dir, "package")},
		"digits:Digits":         {filepath.Join(dir, "digits.py")},
		"installed.somewhere":   nil,
	} {
		cmd, err := python.Target{Adapter: adapter, Interpreter: "env", Dir: dir}.Command()
		if err != nil || !slices.Equal(cmd.Sources, want) {
			t.Errorf("%s: %q, %v; want %q", adapter, cmd.Sources, err, want)
		}
	}
}
