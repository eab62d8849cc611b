package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/snakepit-go/snakepit/host/client"
)

// node is one host.
type node struct {
	name, dir string
	id        string // as the cluster knows it
	address   string
	pid       int
	api       *client.Client

	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  bool
}

// start starts a host and returns once it's a member that takes calls.
func (n *node) start(ctx context.Context, o options, more ...string) error {
	args := append([]string{
		"serve", "-o", "json", "--adapter", o.adapter, "--workers", "2", "--data-dir", n.dir, "--cluster-listen", "127.0.0.1:0",
		"--set", "node=" + n.name, "--set", "python=" + o.python, "--set", "orphan_grace=0",
	}, more...)
	n.cmd = exec.CommandContext(context.WithoutCancel(ctx), o.program, args...) //nolint:gosec // whoever runs it names the program; it's ended by end, in good order
	n.cmd.Stderr = &n.stderr
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = n.cmd.Process.Signal(syscall.SIGTERM) }) // it may have ended
	defer stop()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		n.kill()
		return fmt.Errorf("%s didn't start: %s", n.name, bytes.TrimSpace(n.stderr.Bytes()))
	}
	var ready struct {
		PID     int    `json:"pid"`
		ID      string `json:"node_id"`
		Address string `json:"cluster_address"`
	}
	if err := json.Unmarshal(line, &ready); err != nil {
		return err
	}
	n.pid, n.id, n.address = ready.PID, ready.ID, ready.Address
	n.api, err = client.Dial(ctx, n.address)
	return err
}

// kill ends the host as a loss of power would, and waits until it's gone.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // it may have ended
	_ = n.cmd.Wait()         // that it was killed is no news
	n.ended = true
}

// end ends what is left of the node, and of its workers.
func (n *node) end(ctx context.Context, program string) error {
	if n.api != nil {
		_ = n.api.Close() // its host may be gone
	}
	if n.cmd != nil && n.cmd.Process != nil && !n.ended {
		_ = n.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		forced := time.AfterFunc(patience, func() { _ = n.cmd.Process.Kill() })
		_ = n.cmd.Wait() // a bad end would have shown before
		forced.Stop()
	}
	if _, err := os.Stat(n.dir); err != nil {
		return nil // it never came to be
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "cleanup", "--data-dir", n.dir).CombinedOutput() //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("cleanup of %s: %w\n%s", n.name, err, out)
	}
	return nil
}

func newNode(dir, name string) *node { return &node{name: name, dir: filepath.Join(dir, name)} }
