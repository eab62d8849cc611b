//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
)

func TestWorkerEndsWithAParentThatKeepsNobody(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `"$0" & wait`, executable(t))
	cmd.Env = append(os.Environ(), "SNAKEPIT_PLUGIN=0d1c8c52-5a0f-4c39-9a83-6e5e0b7d1f54", "PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR="+socketDir(t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "|grpc") {
		t.Fatalf("handshake %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, lines) // the pipe's end is the worker's
		ended <- err
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the worker lives on")
	}
	_ = cmd.Wait() // killed
}

func TestAnyHostOfGoPluginCanStartTheWorker(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), executable(t))
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: 1, MagicCookieKey: "SNAKEPIT_PLUGIN", MagicCookieValue: "0d1c8c52-5a0f-4c39-9a83-6e5e0b7d1f54",
		},
		Plugins:          goplugin.PluginSet{},
		Cmd:              cmd,
		AutoMTLS:         true,
		Logger:           hclog.NewNullLogger(),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
	})
	defer client.Kill()
	protocol, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	if err := protocol.Ping(); err != nil {
		t.Errorf("health: %v", err)
	}
	client.Kill()
	if !client.Exited() || cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("asked to end it ended with %v", cmd.ProcessState)
	}
}
