// Command kv keeps values in a plugin that is written in Python.
//
//	go run ./examples/kv put greeting hello
//	go run ./examples/kv merge greeting world
//	go run ./examples/kv get greeting
//
// The plugin is started, and ended, by HashiCorp's go-plugin as it comes: there is
// nothing of Snakepit in this program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-plugin"

	"github.com/snakepit-go/snakepit/examples/kv/kvplugin"
)

const usage = `usage: kv [flags] put KEY VALUE | get KEY | delete KEY | merge KEY VALUE

  put     stores a value
  get     prints it
  delete  removes it
  merge   appends to it, after a comma

`

var errUsage = errors.New("usage")

func main() {
	err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "kv:", err)
		os.Exit(1)
	}
}

// settings are the flags and what follows them.
type settings struct {
	python, server, folder string
	tls                    bool
	command                []string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set, err := parse(args, stderr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	config := kvplugin.Config(set.process())
	config.Stderr = stderr
	if set.tls {
		if err := kvplugin.UseTLS(config); err != nil {
			return err
		}
	}
	client := plugin.NewClient(config)
	defer client.Kill()
	store, err := dispense(client)
	if err != nil {
		return fmt.Errorf("start %s %s: %w", set.python, set.server, err)
	}
	return do(ctx, store, set.command, stdout)
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var set settings
	root := moduleRoot()
	flags := flag.NewFlagSet("kv", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&set.python, "python", filepath.Join(root, ".venv", "bin", "python"), "Python `interpreter` with snakepit-sdk")
	flags.StringVar(&set.server, "server", filepath.Join(root, "examples", "kv", "kv_server.py"), "the plugin's `file`")
	flags.StringVar(&set.folder, "folder", filepath.Join(os.TempDir(), "snakepit-kv"), "`folder` that keeps the values")
	flags.BoolVar(&set.tls, "tls", false, "mutual TLS between this program and the plugin")
	if err := flags.Parse(args); err != nil {
		return set, errUsage
	}
	set.command = flags.Args()
	if len(set.command) != arguments(flags.Arg(0)) {
		flags.Usage()
		return set, errUsage
	}
	return set, nil
}

// arguments counts a command's words, itself included; -1 for an unknown one.
func arguments(command string) int {
	switch command {
	case "put", "merge":
		return 3
	case "get", "delete":
		return 2
	default:
		return -1
	}
}

// process is the plugin's process, not yet started.
func (s settings) process() *exec.Cmd {
	cmd := exec.Command(s.python, s.server) //nolint:gosec,noctx // the user names the interpreter; go-plugin ends it
	cmd.Env = []string{"KV_FOLDER=" + s.folder}
	return cmd
}

func dispense(client *plugin.Client) (*kvplugin.Client, error) {
	protocol, err := client.Client()
	if err != nil {
		return nil, err
	}
	raw, err := protocol.Dispense(kvplugin.Name)
	if err != nil {
		return nil, err
	}
	store, ok := raw.(*kvplugin.Client)
	if !ok {
		return nil, fmt.Errorf("the plugin is a %T", raw)
	}
	return store, nil
}

func do(ctx context.Context, store *kvplugin.Client, command []string, stdout io.Writer) error {
	var value []byte
	var err error
	switch key := command[1]; command[0] {
	case "put":
		return store.Put(ctx, key, []byte(command[2]))
	case "delete":
		return store.Delete(ctx, key)
	case "merge":
		value, err = store.Merge(ctx, key, []byte(command[2]), appendComma)
	default:
		value, err = store.Get(ctx, key)
	}
	if err == nil {
		_, err = fmt.Fprintf(stdout, "%s\n", value)
	}
	return err
}

// appendComma is called by the plugin.
func appendComma(old, added []byte) []byte {
	if len(old) == 0 {
		return added
	}
	return append(append(old, ','), added...)
}

// moduleRoot is the nearest folder upwards with a go.mod; the current one without.
func moduleRoot() string {
	start, err := os.Getwd()
	if err != nil {
		return "."
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return start
		}
	}
}
