package exec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/adapters/program"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Prefix marks an adapter that is a program: exec:./worker.
const Prefix = "exec:"

// Target is a program that speaks the worker protocol.
type Target struct {
	// Path is the program: a path, relative to Dir, or a name that is looked for on PATH.
	Path string
	Args []string
	Env  []string // KEY=value, over what workers inherit
	// Dir is where a relative path is looked up; empty: the current directory.
	Dir string
	// WorkDir is the worker's own; empty: a folder that the host makes.
	WorkDir string
}

// Parse reads exec:COMMAND, as a configuration has it: the program and its
// arguments, separated by spaces. A part with spaces stands in single or double
// quotes, and in double quotes a backslash takes the next character as it is.
func Parse(adapter string) (Target, error) {
	words, err := split(strings.TrimPrefix(adapter, Prefix))
	if err != nil {
		return Target{}, err
	}
	if len(words) == 0 || words[0] == "" {
		return Target{}, &errdefs.Error{
			Reason: errdefs.InvalidConfig, Message: "adapter " + adapter + " names no program",
			Hint: "write exec:./worker, or exec:NAME for a program on PATH, with its arguments behind it",
		}
	}
	return Target{Path: words[0], Args: words[1:]}, nil
}

// Command is the command that serves the target.
func (t Target) Command() (host.Command, error) {
	path, err := t.resolve()
	if err != nil {
		return host.Command{}, err
	}
	for _, kv := range t.Env {
		if key, _, ok := strings.Cut(kv, "="); !ok || key == "" {
			return host.Command{}, errdefs.New(errdefs.InvalidConfig, "environment %q isn't KEY=value", kv)
		}
	}
	return host.Command{
		Path: path, Args: slices.Clone(t.Args), Env: slices.Clone(t.Env), Dir: t.WorkDir,
		Adapter: Prefix + join(append([]string{t.Path}, t.Args...)),
		Hints:   hints(path),
	}, nil
}

// resolve finds the program. What has no slash is a name on PATH, as in a shell.
func (t Target) resolve() (string, error) {
	if t.Path == "" {
		return "", errdefs.New(errdefs.InvalidConfig, "no program given")
	}
	if !strings.ContainsAny(t.Path, `/\`) {
		if p, ok := program.OnPath(t.Path); ok {
			return p, nil
		}
		return "", &errdefs.Error{
			Reason: errdefs.InvalidConfig, Message: "program " + t.Path + " isn't on PATH",
			Hint: "for one in a folder write its path: exec:./" + t.Path,
		}
	}
	dir, err := filepath.Abs(t.Dir)
	if err != nil {
		return "", errdefs.Wrap(errdefs.InvalidConfig, err, "program %s", t.Path)
	}
	p := t.Path
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	return p, checkExecutable(p)
}

func checkExecutable(p string) error {
	st, err := os.Stat(p)
	bad := &errdefs.Error{Reason: errdefs.InvalidConfig, Hint: "give the path of a program that speaks the worker protocol"}
	switch {
	case os.IsNotExist(err):
		bad.Message = "program " + p + " doesn't exist"
	case os.IsPermission(err):
		bad.Message = "program " + p + " can't be read: permission denied"
	case err != nil:
		bad.Message = "program " + p + " can't be read: " + err.Error()
	case st.IsDir():
		bad.Message = "program " + p + " is a folder"
	case !program.Executable(st):
		bad.Message, bad.Hint = "program "+p+" isn't executable", "chmod +x "+p
	default:
		return nil
	}
	return bad
}

// hints are for programs that are something else than workers.
func hints(path string) []host.Hint {
	speaks := path + " must speak the worker protocol: it's a go-plugin plugin with the service snakepit.v1.Worker (docs/workers.md)"
	return []host.Hint{
		{Match: "exec format error", Hint: path + " isn't a program for this system, or a script without a #! line"},
		{Match: "no such file or directory", Hint: "the interpreter in the #! line of " + path + ", or its dynamic loader, isn't there"},
		{Match: "the worker ended before it was ready: exit code 0", Hint: speaks},
		{Match: "Unrecognized remote plugin message", Hint: speaks},
		{Match: "unknown service snakepit.v1.Worker", Hint: speaks},
		{Match: "the worker wasn't ready within start_timeout", Hint: speaks},
	}
}
