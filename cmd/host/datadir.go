package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// dataDir is the data directory: the flag's, else below XDG_STATE_HOME, else
// below the home folder.
func (p *program) dataDir() (string, error) {
	if p.opts.dataDir != "" {
		dir, err := filepath.Abs(p.opts.dataDir)
		if err != nil {
			return "", usagef("--data-dir: %w", err)
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
func noHost(format string, args ...any) error {
	e := errdefs.New(errdefs.HostUnreachable, format, args...)
	e.Hint = "start one with `snakepit serve --adapter FILE.py`, or say where it is with --data-dir or --host"
	return e
}
