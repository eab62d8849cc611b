//go:build linux

package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

// forking is an adapter that tells what its process is like.
const forking = `
import os, random, resource
from snakepit import tool

imported = os.getpid()

@tool
def remember() -> bool:
    return os.getpid() != imported

@tool
def look() -> dict:
    umask = os.umask(0o077)
    return {
        "forked": os.getpid() != imported, "forkserver": imported, "umask": umask, "folder": os.getcwd(),
        "stdin": os.readlink("/proc/self/fd/0"), "token": os.environ["SNAKEPIT_WORKER_TOKEN"],
        "worker": os.environ["SNAKEPIT_WORKER_ID"], "random": random.random(),
        "mode": os.environ.get("SNAKEPIT_WORKER_FORKSERVER", "none"), "oom": open("/proc/self/oom_score_adj").read().strip(),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0], "cgroup": open("/proc/self/cgroup").read().splitlines()[-1],
        "threads": os.environ["OMP_NUM_THREADS"],
    }

@tool
def leave(command: str) -> None:
    os.system(command)
`

// looks is what such a worker says of itself.
func looks(t *testing.T, w host.Worker) map[string]any {
	t.Helper()
	got, err := callTool(t.Context(), w, "look")
	if err != nil {
		t.Fatal(err)
	}
	said, ok := got.(map[string]any)
	if !ok {
		t.Fatalf("a %T", got)
	}
	return said
}

func forkingHost(t *testing.T, source string) testHost {
	t.Helper()
	h := newTestHost(t, commandOf(t, source))
	h.Fork = true
	return h
}

func launchAs(t *testing.T, l *Launcher, h testHost, id host.WorkerID) host.Worker {
	t.Helper()
	w, err := l.Launch(t.Context(), h.spec(id), toolless{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestForkedWorkerIsLikeAnExecutedOne(t *testing.T) {
	t.Parallel()
	h := forkingHost(t, forking)
	l, _ := h.comeBack(t)
	one, two := launchAs(t, l, h, "default-1"), launchAs(t, l, h, "default-2")
	a, b := looks(t, one), looks(t, two)
	for key, want := range map[string]any{
		"forked": true, "umask": 0o077, "stdin": "/dev/null", "worker": "default-1", "mode": "none", "oom": "500", "core": 0, "threads": "1",
	} {
		if fmt.Sprint(a[key]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", key, a[key], want)
		}
	}
	for _, key := range []string{"folder", "token", "worker", "random"} {
		if a[key] == b[key] {
			t.Errorf("two workers have the same %s: %v", key, a[key])
		}
	}
	if a["forkserver"] != b["forkserver"] {
		t.Error("each had a forkserver of its own")
	}
	assertOfTheShim(t, h, one, a)
	for _, w := range []host.Worker{one, two} {
		if err := w.Stop(t.Context()); err != nil || w.Err() != nil {
			t.Errorf("Stop: %v, Err: %v", err, w.Err())
		}
	}
}

// assertOfTheShim looks from outside whose child a worker is, and at its token.
func assertOfTheShim(t *testing.T, h testHost, w host.Worker, said map[string]any) {
	t.Helper()
	p := w.Description().Process
	stat, err := proc.Read(p.PID)
	if err != nil {
		t.Fatal(err)
	}
	if parent := proc.CommandLine(stat.PPID); !strings.HasPrefix(parent, shimCommand+" ") {
		t.Errorf("its parent is %q, want the shim", parent)
	}
	if stat.Session != p.PID || stat.PGID != p.PID || stat.Start != p.StartTime {
		t.Errorf("%+v isn't leader of its session and group, or not %+v", stat, p)
	}
	token := proc.Getenv(p.PID, tokenVariable)
	if token != said["token"] || !isTokenOf(token, h.Instance) {
		t.Errorf("the token in /proc is %q, and the worker's is %q", token, said["token"])
	}
	if server := proc.Getenv(int(intOf(t, said["forkserver"])), tokenVariable); server == token || !isTokenOf(server, h.Instance) {
		t.Errorf("the forkserver's token is %q, the worker's %q", server, token)
	}
	if cgroup := fmt.Sprint(said["cgroup"]); strings.Contains(cgroup, "/snakepit-") && !strings.HasSuffix(cgroup, "/w1") {
		t.Errorf("its cgroup is %s, want the second of the pair", cgroup)
	}
}

func intOf(t *testing.T, v any) int64 {
	t.Helper()
	var n int64
	if _, err := fmt.Sscan(fmt.Sprint(v), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// forkserverOf is the process that workers of an instance are forked from.
func forkserverOf(t *testing.T, w host.Worker) host.Process {
	t.Helper()
	id, err := proc.Identify(int(intOf(t, looks(t, w)["forkserver"])))
	if err != nil {
		t.Fatal(err)
	}
	return host.Process{PID: id.PID, StartTime: id.Start}
}

func TestNothingIsLeftOfForkedWorkersWhoeverDies(t *testing.T) {
	t.Parallel()
	for name, victims := range map[string][]string{
		"host":                 {"host"},
		"shim":                 {shimCommand},
		"guard":                {"snakepit-guard"},
		"host and shim":        {"host", shimCommand},
		"host and guard":       {"host", "snakepit-guard"},
		"host, shim and guard": {"snakepit-guard", shimCommand, "host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := forkingHost(t, forking)
			h.Grace, h.Workers = 0, []host.WorkerID{"default-1", "default-2"}
			p := h.start(t)
			p.ready()
			ours := Kept(h.Instance)
			if len(ours) != 3 {
				t.Fatalf("%+v, want two workers and a forkserver", ours)
			}
			ids := p.kin(t, victims)
			begun := time.Now()
			for _, id := range ids {
				proc.Kill(id)
			}
			for _, o := range ours {
				awaitGone(t, host.Process{PID: o.PID, StartTime: o.Start})
			}
			t.Logf("all gone after %s", time.Since(begun))
		})
	}
}

// kin are the host and those of its pair that have these names.
func (p *hostProcess) kin(t *testing.T, names []string) (all []proc.ID) {
	t.Helper()
	host, err := proc.Identify(p.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	table, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name == "host" {
			all = append(all, host)
			continue
		}
		for _, below := range proc.Below(host.PID, table) {
			if strings.HasPrefix(proc.CommandLine(below.PID), name+" ") {
				all = append(all, below.ID)
			}
		}
	}
	if len(all) != len(names) {
		t.Fatalf("%v of %v", all, names)
	}
	return all
}

func TestForkedWorkerIsFoundAgainAndTheForkserverEnded(t *testing.T) {
	t.Parallel()
	h := forkingHost(t, forking)
	p := h.start(t)
	before := p.ready()["default-1"]
	var server host.Process
	for _, o := range Kept(h.Instance) {
		if o.PID != before.PID {
			server = host.Process{PID: o.PID, StartTime: o.Start}
		}
	}
	p.kill()
	if !isAlive(before) || !isAlive(server) {
		t.Fatal("the worker or its forkserver died with the host")
	}
	l, lines := h.comeBack(t)
	if isAlive(server) {
		t.Error("the dead host's forkserver lives")
	}
	w := reattach(t, l, h)
	if got := w.Description().Process; got != before {
		t.Errorf("process %+v, want %+v", got, before)
	}
	mustCall(t, w, "remember", "true")
	next := launchAs(t, l, h, "default-2")
	mustCall(t, next, "remember", "true")
	if strings.Contains(lines.String(), "[WARN]") {
		t.Errorf("the log complains:\n%s", lines)
	}
}

func TestWorkersGoOnWithoutTheirForkserver(t *testing.T) {
	t.Parallel()
	h := forkingHost(t, forking)
	l, lines := h.comeBack(t)
	w := launchAs(t, l, h, "default-1")
	server := forkserverOf(t, w)
	if err := syscall.Kill(server.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lines.await(t, "a forkserver has died")
	next := launchAs(t, l, h, "default-2")
	if now := forkserverOf(t, next); now == server {
		t.Error("it's the dead forkserver's")
	}
	mustCall(t, next, "remember", "true")
	mustCall(t, w, "remember", "true")
}

func TestWorkerIsExecutedWhereItsForkserverHangs(t *testing.T) {
	t.Parallel()
	h := forkingHost(t, forking)
	l, lines := h.comeBack(t)
	server := forkserverOf(t, launchAs(t, l, h, "default-1"))
	if err := syscall.Kill(server.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	mustCall(t, launchAs(t, l, h, "default-2"), "remember", "false")
	lines.await(t, "another forkserver is started")
	awaitGone(t, server)
	mustCall(t, launchAs(t, l, h, "default-3"), "remember", "true")
}

func TestWorkersAreExecutedWithOneWarningWhereForkingIsUnsafe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ source, why string }{
		"a thread":       {"import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n", "started threads"},
		"CUDA":           {"import sys, types\nsys.modules['torch'] = types.SimpleNamespace(cuda=types.SimpleNamespace(is_initialized=lambda: True))\n", "initialised CUDA"},
		"a gRPC channel": {"import grpc\nchannel = grpc.insecure_channel('unix:/nobody')\n", "started threads"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := forkingHost(t, c.source+forking)
			l, lines := h.comeBack(t)
			for _, id := range []host.WorkerID{"default-1", "default-2"} {
				mustCall(t, launchAs(t, l, h, id), "remember", "false")
			}
			if log := lines.String(); strings.Count(log, "[WARN]") != 1 || !strings.Contains(log, c.why) {
				t.Errorf("the log is\n%s, want one warning about %q", log, c.why)
			}
			if kept := Kept(h.Instance); len(kept) != 2 {
				t.Errorf("%+v, want two workers and no forkserver", kept)
			}
		})
	}
}

func TestReloadedPoolIsForkedFromTheCodeThatIsThere(t *testing.T) {
	t.Parallel()
	h := forkingHost(t, forking)
	l, lines := h.comeBack(t)
	old := launchAs(t, l, h, "default-1")
	h.rewrite(t, forking+"\n@tool\ndef added() -> int:\n    return 7\n")
	if _, err := callTool(t.Context(), launchAs(t, l, h, "default-2"), "added"); err == nil {
		t.Error("the code is read anew for each worker: nothing was saved")
	}
	h.Generation++
	mustCall(t, launchAs(t, l, h, "default-3"), "added", "7")
	mustCall(t, old, "remember", "true")
	if strings.Contains(lines.String(), "[WARN]") {
		t.Errorf("the log complains:\n%s", lines)
	}
}

func TestPoolThatForksNoMoreHasNoForkserver(t *testing.T) {
	t.Parallel()
	h := forkingHost(t, forking)
	l, lines := h.comeBack(t)
	old := launchAs(t, l, h, "default-1")
	server := forkserverOf(t, old)
	h.Fork = false
	h.Generation++
	mustCall(t, launchAs(t, l, h, "default-2"), "remember", "false")
	awaitGone(t, server)
	mustCall(t, old, "remember", "true")
	if strings.Contains(lines.String(), "[WARN]") {
		t.Errorf("the log complains:\n%s", lines)
	}
}

// rewrite changes the adapter's file.
func (h testHost) rewrite(t *testing.T, source string) {
	t.Helper()
	file := h.Command.Args[len(h.Command.Args)-1]
	if filepath.Base(file) != "adapter.py" {
		t.Fatalf("%q isn't the adapter", file)
	}
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMendedAdapterIsImportedAnewAfterAFailedStart(t *testing.T) {
	t.Parallel()
	h := forkingHost(t, "raise RuntimeError('no license')\n")
	l, _ := h.comeBack(t)
	if _, err := l.Launch(t.Context(), h.spec("default-1"), toolless{}); err == nil || !strings.Contains(err.Error(), "no license") {
		t.Fatalf("Launch = %v", err)
	}
	h.rewrite(t, forking)
	mustCall(t, launchAs(t, l, h, "default-2"), "remember", "true")
}

func TestIsolatedWorkersAreForkedToo(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("a PID namespace needs root")
	}
	h := forkingHost(t, forking)
	h.Isolated = true
	l, _ := h.comeBack(t)
	mustCall(t, launchAs(t, l, h, "default-1"), "remember", "true")
}

func TestForkserverIsOnePerPoolAndCommand(t *testing.T) {
	t.Parallel()
	h := forkingHost(t, forking)
	l, _ := h.comeBack(t)
	first := forkserverOf(t, launchAs(t, l, h, "default-1"))
	other := h.spec("other-1")
	other.Pool = "other"
	w, err := l.Launch(t.Context(), other, toolless{})
	if err != nil {
		t.Fatal(err)
	}
	if forkserverOf(t, w) == first {
		t.Error("two pools share a forkserver")
	}
	changed := h.spec("default-2")
	changed.Command.Env = append(changed.Command.Env, "CHANGED=1")
	if w, err = l.Launch(t.Context(), changed, toolless{}); err != nil {
		t.Fatal(err)
	}
	if forkserverOf(t, w) == first {
		t.Error("a worker with another environment has the same forkserver")
	}
	t.Logf("the one that nobody needs any more is gone after %s", awaitGone(t, first))
}

func TestLeftForkserverEndsAndItsWorkersGoOn(t *testing.T) {
	t.Parallel()
	h := forkingHost(t, forking)
	l, records, err := h.launcher(nil)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- l.Run(t.Context()) }()
	w := launchAs(t, l, h, "default-1")
	server := forkserverOf(t, w)
	leaver, ok := w.(host.Leaver)
	if !ok {
		t.Fatal("the worker can't be left")
	}
	leaver.Leave()
	if err := l.Leave(patience); err != nil {
		t.Fatal(err)
	}
	if isAlive(server) {
		t.Error("the forkserver lives")
	}
	if err := records.Close(); err != nil {
		t.Fatal(err)
	}
	next, _ := h.comeBack(t)
	mustCall(t, reattach(t, next, h), "remember", "true")
}
