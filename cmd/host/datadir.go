package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// dataDir is the host's data directory: that of the instance, where one is named.
func (p *program) dataDir() (string, error) {
	c, err := p.settings()
	if err != nil {
		return "", err
	}
	return p.dataDirOf(c)
}

// dataDirOf is the data directory of a host with a configuration, over which the
// flags go.
func (p *program) dataDirOf(c *config.Config) (string, error) {
	dir, err := p.baseDirOf(c)
	if err != nil {
		return "", err
	}
	dir, err = embed.InstanceDir(dir, cmp.Or(p.opts.instance, c.Instance))
	if err != nil {
		return "", &usageError{err}
	}
	return dir, nil
}

// baseDir is the data directory before any instance.
func (p *program) baseDir() (string, error) {
	c, err := p.settings()
	if err != nil {
		return "", err
	}
	return p.baseDirOf(c)
}

// baseDirOf is the flag's, else that of the knob data_dir, else below
// XDG_STATE_HOME, else below the home folder.
func (p *program) baseDirOf(c *config.Config) (string, error) {
	if named := cmp.Or(p.opts.dataDir, c.DataDirectory()); named != "" {
		dir, err := filepath.Abs(named)
		if err != nil {
			return "", usagef("data directory %s: %w", named, err)
		}
		return dir, nil
	}
	if state := p.getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "snakepit"), nil
	}
	if home := p.getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "snakepit"), nil
	}
	return "", usagef("there is no home folder (HOME isn't set): say where the host keeps its data with --data-dir DIR")
}

// instanceName is a flag that takes the name of an instance.
type instanceName struct{ value *string }

var _ pflag.Value = (*instanceName)(nil)

func (n *instanceName) String() string { return *n.value }
func (n *instanceName) Type() string   { return "name" }

func (n *instanceName) Set(text string) error {
	if _, err := embed.InstanceDir(".", text); err != nil {
		return errors.New("want up to 64 letters, digits, '_', '.' and '-', a letter or digit first")
	}
	*n.value = text
	return nil
}

// completeInstance completes the names of the instances that there are.
func (p *program) completeInstance(_ *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if dir, err := p.baseDir(); err == nil {
		for _, name := range embed.Instances(dir) {
			if strings.HasPrefix(name, word) {
				names = append(names, name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// target is the address of the live host: the flag's, else the socket of the data
// directory's host.
func (p *program) target() (string, error) {
	if p.opts.host != "" {
		return p.opts.host, nil
	}
	dir, err := p.dataDir()
	if err != nil {
		return "", err
	}
	record, err := embed.ReadRecord(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", noHost("no host is running here: there is no %s", filepath.Join(dir, "host.json"))
	}
	if err == nil && record.Socket == "" {
		err = fmt.Errorf("%s names no socket", filepath.Join(dir, "host.json"))
	}
	if err != nil {
		return "", noHost("no host can be found: %v", err)
	}
	return "unix:" + record.Socket, nil
}

// noHost says that there is no live host, and how to get one.
func noHost(format string, args ...any) *errdefs.Error {
	e := errdefs.New(errdefs.HostUnreachable, format, args...)
	e.Hint = "start one with `snakepit serve --adapter FILE.py`, or say where it is with --data-dir or --host"
	return e
}
