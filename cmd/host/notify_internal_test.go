package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestAServiceManagerIsToldWhoTheHostIs(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "sp-notify-") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify.sock")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skipf("no datagram sockets here: %v", err)
	}
	defer manager.Close()
	p, _ := bareProgram()
	if err := p.notifySystemd("READY=1"); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
	p.getenv = func(name string) string { return map[string]string{"NOTIFY_SOCKET": path}[name] }
	if err := p.notifySystemd("READY=1", "MAINPID=4711"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	n, err := manager.Read(got)
	if err != nil || string(got[:n]) != "READY=1\nMAINPID=4711" {
		t.Errorf("the service manager got %q, %v", got[:n], err)
	}
	if err := manager.Close(); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(path)
	if err := p.notifySystemd("READY=1"); err == nil {
		t.Error("a service manager that isn't there was told")
	}
}
