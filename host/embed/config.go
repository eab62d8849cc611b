package embed

import (
	"os"

	"github.com/hashicorp/go-hclog"
)

// Config says what to run. The smallest one names an adapter.
type Config struct {
	// File is a YAML file with the configuration; what else is set here goes before it.
	// Relative paths in it are relative to its folder. Empty: none. [Host.ReloadConfig]
	// reads it again.
	File string
	// Environ is an environment, as os.Environ gives it: SNAKEPIT_ variables are knobs,
	// which go before those of File and behind those here, and ${NAME} in File stands
	// for a variable's value. Nil: the program's own environment sets nothing.
	Environ []string
	// Adapter is FILE.py, FILE.py:Class, MODULE or MODULE:Class, or exec:COMMAND for
	// a worker in another language: the single-pool form. The pool is called "default".
	Adapter string
	// Workers is the size of that pool; zero: the knob pool_size.
	Workers int
	// Pools is the multi-pool form; use one form or the other.
	Pools []Pool
	// DataDir keeps the host's lock, record and logs; empty: the knob data_dir, and
	// where that's empty too a private host, which leaves nothing behind.
	DataDir string
	// Instance runs a second host beside the first of DataDir: its data directory is
	// DataDir/instances/NAME; empty: the knob instance. See [InstanceDir].
	Instance string
	// Set holds knobs for all pools, as "knob=value". docs/configuration.md lists them.
	Set []string
	// Logger gets our own log and the workers'; nil: none.
	Logger hclog.Logger
	// Version is what Status says; empty: the module's.
	Version string
	// Successor starts the program that takes over from this host, giving it files as
	// descriptors 3 and up, for its Inherit; nil: Host.Upgrade isn't possible. It's for
	// programs that are a host and nothing else.
	Successor func(files []*os.File) (*os.Process, error)
	// Inherit are the files that a host gave to its Successor, in the process that this
	// started: Start then waits until that host has handed over.
	Inherit []*os.File
	// Watch reloads a pool when its adapter's files change, as [Host.Reload] does; what
	// is wrong with them then goes to Logger.
	Watch bool
	// Serve opens the API on a Unix socket in the run folder, and tells of it in
	// the data directory's host.json.
	Serve bool
}

// Pool is one pool of the multi-pool form.
type Pool struct {
	Name    string
	Adapter string
	Workers int      // zero: the knob pool_size
	Set     []string // knobs of this pool alone, over those of Config
}

// Check says what is wrong with a configuration, as far as that can be known without
// starting anything: whether its adapters and interpreters are there, too.
func Check(cfg Config) error {
	_, err := settle(cfg, nil)
	return err
}
