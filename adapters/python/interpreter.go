package python

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/snakepit-go/snakepit/adapters/program"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// findInterpreter resolves the knob python. What was asked for is never silently
// replaced by something else.
func findInterpreter(asked, dir string) (string, error) {
	if asked != "" {
		return resolve(asked, dir)
	}
	if env := os.Getenv("VIRTUAL_ENV"); env != "" {
		return resolve(env, dir)
	}
	for _, name := range []string{"python3", "python"} {
		if p, ok := program.OnPath(name); ok {
			return p, nil
		}
	}
	return "", notFound("neither python3 nor python is on PATH")
}

// resolve takes an environment's folder, an executable's path, or a name on PATH.
// A folder goes first: "env" is an environment's name and a program's as well.
func resolve(asked, dir string) (string, error) {
	p := asked
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	if isDir(p) {
		p = filepath.Join(p, binary())
	} else if !strings.ContainsAny(asked, `/\`) {
		found, ok := program.OnPath(asked)
		if !ok {
			return "", notFound("Python interpreter " + asked + " isn't on PATH")
		}
		p = found
	}
	if !isExecutable(p) {
		return "", notFound("Python interpreter " + p + " doesn't exist or can't be executed")
	}
	return p, nil
}

func notFound(message string) error {
	return &errdefs.Error{
		Reason: errdefs.InvalidConfig, Message: message,
		Hint: "set the knob python to an interpreter (3.11 or newer) or a virtual environment",
	}
}

func binary() string {
	if runtime.GOOS == "windows" {
		return filepath.Join("Scripts", "python.exe")
	}
	return filepath.Join("bin", "python")
}

func isDir(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}

func isExecutable(p string) bool {
	st, err := os.Stat(p)
	return err == nil && program.Executable(st)
}
