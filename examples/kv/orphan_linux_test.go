package main_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// clientEnv makes this test binary a host instead, for a plugin that behaves as it says.
const clientEnv = "KV_TEST_CLIENT"

func TestMain(m *testing.M) {
	if odd, ok := os.LookupEnv(clientEnv); ok {
		fmt.Fprintln(os.Stderr, beClient(strings.TrimPrefix(odd, "="), os.Stdout))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// beClient starts a plugin, names its process on stdout, and waits to be killed. It
// returns only when it couldn't.
func beClient(odd string, stdout io.Writer) error {
	conf, err := configFor(os.Getenv("SNAKEPIT_TEST_PYTHON"), odd)
	if err != nil {
		return err
	}
	running, err := launchBusy(conf, odd)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, running.client.ID()); err != nil {
		return err
	}
	select {}
}

func TestPluginEndsWhenItsHostIsKilled(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{"", "main", "thread", "loop", "stuck"} {
		t.Run("busy:"+odd, func(t *testing.T) {
			t.Parallel()
			took := outlives(t, odd)
			t.Logf("gone %v after its host's SIGKILL", took)
			if bound := 2 * time.Second; took > slack*bound {
				t.Errorf("gone after %v, want %v at most", took, slack*bound)
			}
		})
	}
}

// outlives kills a host and returns how long its plugin lived on.
func outlives(t *testing.T, odd string) time.Duration {
	t.Helper()
	client, pid := startClient(t, odd)
	before := startTime(pid)
	if before == "" {
		t.Fatalf("plugin %d isn't running", pid)
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	must(t, err)
	defer func() { must(t, unix.Close(pidfd)) }()
	if startTime(pid) != before {
		t.Fatalf("plugin %d has ended", pid)
	}
	began := time.Now()
	must(t, client.Process.Kill())
	_ = client.Wait() // reports the kill
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int((30 * time.Second).Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		must(t, err)
		if n == 0 {
			_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
			t.Fatalf("plugin %d still runs", pid)
		}
		return time.Since(began)
	}
}

// startClient starts this binary as a host and returns its plugin's process.
func startClient(t *testing.T, odd string) (*exec.Cmd, int) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	client := exec.CommandContext(t.Context(), self)
	client.Env = append(os.Environ(), clientEnv+"=="+odd, "SNAKEPIT_TEST_PYTHON="+python(t))
	client.Stderr = os.Stderr
	stdout, err := client.StdoutPipe()
	must(t, err)
	must(t, client.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	must(t, err)
	return client, pid
}

// startTime tells two processes of one number apart; empty when there is none.
func startTime(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, ok := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return ""
	}
	return fields[19] // the 22nd of all
}
