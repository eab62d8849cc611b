package python

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Target is what to serve, and with what.
type Target struct {
	// Adapter is FILE.py, FILE.py:Class, MODULE or MODULE:Class. A file is relative
	// to Dir.
	Adapter string
	// Interpreter is a Python executable, or a virtual environment's folder; empty:
	// that of VIRTUAL_ENV, else python3 on PATH.
	Interpreter string
	// Dir is where relative names are looked up, and where modules are imported
	// from; empty: the current directory.
	Dir string
}

// bootstrap runs before anything of ours is imported, so it must parse on every
// Python that somebody may point us to.
const bootstrap = `import sys;sys.version_info>=(3,11) or sys.exit("snakepit: Python %s at %s is too old: 3.11 or newer is needed"%(sys.version.split()[0],sys.executable));` +
	`import runpy;runpy.run_module("snakepit",run_name="__main__",alter_sys=True)`

// Command is the command that serves the target.
func (t Target) Command() (host.Command, error) {
	dir, err := filepath.Abs(t.Dir)
	if err != nil {
		return host.Command{}, errdefs.Wrap(errdefs.InvalidConfig, err, "adapter %q", t.Adapter)
	}
	target, err := locate(t.Adapter, dir)
	if err != nil {
		return host.Command{}, err
	}
	interpreter, err := findInterpreter(t.Interpreter, dir)
	if err != nil {
		return host.Command{}, err
	}
	return host.Command{
		Path:    interpreter,
		Args:    []string{"-c", bootstrap, target},
		Env:     []string{"PYTHONPATH=" + joinPath(dir, os.Getenv("PYTHONPATH")), "PYTHONUNBUFFERED=1"},
		Adapter: t.Adapter,
		Sources: sources(target, dir),
		Hints:   hints(interpreter),
	}, nil
}

// locate checks a file target and makes it absolute; a module is left to Python.
func locate(adapter, dir string) (string, error) {
	if adapter == "" {
		return "", &errdefs.Error{
			Reason: errdefs.InvalidConfig, Message: "no adapter given",
			Hint: "name a file, like digits.py, or a module, like package.module:Class",
		}
	}
	file, class, isFile := splitFile(adapter)
	if !isFile {
		return adapter, nil
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	switch st, err := os.Stat(file); {
	case err != nil:
		return "", &errdefs.Error{
			Reason: errdefs.InvalidConfig, Message: "adapter file " + file + " can't be read: " + reason(err),
			Hint: "give the path of a Python file, or a module's name without .py",
		}
	case st.IsDir():
		return "", &errdefs.Error{
			Reason: errdefs.InvalidConfig, Message: "adapter " + file + " is a folder",
			Hint: "give the file in it that has the tools",
		}
	}
	return file + class, nil
}

// sources is where the adapter's code comes from: the folder of its file, or its
// package where that lies below dir. A module from elsewhere is installed, and has none.
func sources(target, dir string) []string {
	file, _, isFile := splitFile(target)
	if isFile {
		return []string{filepath.Dir(file)}
	}
	module, _, _ := strings.Cut(target, ":")
	top, _, _ := strings.Cut(module, ".")
	for _, path := range []string{filepath.Join(dir, top), filepath.Join(dir, top+".py")} {
		if _, err := os.Stat(path); err == nil {
			return []string{path}
		}
	}
	return nil
}

// splitFile takes FILE.py:Class apart; class keeps its colon. What has neither a
// slash nor .py is a module.
func splitFile(adapter string) (file, class string, isFile bool) {
	file = adapter
	if i := strings.LastIndexByte(adapter, ':'); i > 0 && !strings.ContainsAny(adapter[i:], `/\`) {
		file, class = adapter[:i], adapter[i:]
	}
	isFile = strings.HasSuffix(file, ".py") || strings.ContainsAny(file, `/\`)
	return file, class, isFile
}

// reason is the error without the path, which the message has already.
func reason(err error) string {
	if os.IsNotExist(err) {
		return "it doesn't exist"
	}
	if os.IsPermission(err) {
		return "permission denied"
	}
	return err.Error()
}

func joinPath(dir, rest string) string {
	if rest == "" {
		return dir
	}
	return dir + string(os.PathListSeparator) + rest
}

func hints(interpreter string) []host.Hint {
	return []host.Hint{
		{Match: "No module named snakepit", Hint: "the SDK isn't installed for " + interpreter +
			": run `" + interpreter + " -m pip install snakepit-sdk` (in a checkout: `" + interpreter + " -m pip install ./python`), or point the knob python at an environment that has it"},
		{Match: "is too old: 3.11 or newer is needed", Hint: "point the knob python at a newer interpreter: --set python=/path/to/python3"},
	}
}
