//go:build linux

package shim_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

func files(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func names(all []*shim.Child) (out string) {
	for _, ch := range all {
		out += fmt.Sprintf(" %s %v", ch.Worker(), ch.ID())
	}
	return out
}

// quick starts a program that needs nothing.
func (p *pair) quick(t *testing.T, worker, program string, args ...string) (*shim.Child, *sink) {
	t.Helper()
	out := newSink()
	ch, err := p.Spawn(shim.Spawn{
		Worker: worker, Token: "token-" + worker, Path: program, Args: append([]string{program}, args...), Dir: "/",
	}, out)
	if err != nil {
		t.Fatal(err)
	}
	return ch, out
}

// It isn't parallel: it counts the descriptors of this process.
func TestNoDescriptorIsLeftBehind(t *testing.T) {
	cfg := config(t)
	cfg.Grace, cfg.Cgroups = patience, true
	p := start(t, cfg)
	pid := p.shimPID(t)
	_, first := p.quick(t, "first", "/bin/true")
	first.awaitExit(t)
	keeper, _ := p.quick(t, "keeper", "/bin/sleep", "600")
	ours, theirs := files(t, os.Getpid()), files(t, pid)
	for i := range 200 {
		_, out := p.quick(t, "w"+strconv.Itoa(i), "/bin/true")
		if i%4 == 0 {
			out.awaitExit(t)
		}
	}
	settled := func(what string) {
		until(t, "the descriptors are as they were after "+what, func() bool {
			return files(t, os.Getpid()) <= ours && files(t, pid) <= theirs
		})
	}
	settled("200 workers")
	if err := p.Detach(patience); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		next := attach(t, p.Socket(), cfg)
		if left := next.Survivors(); len(left) != 1 || left[0].ID() != keeper.ID() {
			next.finish(t)
			t.Fatalf("round %d: %d survivors: %s, want %v", i, len(left), names(left), keeper.ID())
		}
		if i == 49 {
			settled("50 hosts")
			next.finish(t)
			return
		}
		if err := next.Detach(patience); err != nil {
			t.Fatal(err)
		}
		if err := <-next.ran; err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

// It isn't parallel: a child of another test would have the pipe as well.
func TestWhatTheHostInheritedEndsWithIt(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], 0); err != nil { // as whoever starts a host may leave one: to be inherited
		t.Fatal(err)
	}
	r := os.NewFile(uintptr(fds[0]), "r")
	defer r.Close()
	p := start(t, config(t))
	_, out := p.shell(t, "w", "echo up; while :; do sleep 60; done")
	out.await(t, "up")
	if err := unix.Close(fds[1]); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := r.Read(make([]byte, 1))
		ended <- err
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the pair or its worker holds what the host had from its parent")
	}
}

func TestHundredsOfWorkersChangeHosts(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Grace = patience
	p := start(t, cfg)
	const workers = 260 // more than descriptors go in one message
	ids := map[string]proc.ID{}
	for i := range workers {
		ch, _ := p.quick(t, "w"+strconv.Itoa(i), "/bin/sleep", "600")
		ids[ch.Worker()] = ch.ID()
	}
	if err := p.Detach(patience); err != nil {
		t.Fatal(err)
	}
	<-p.ran
	next := attach(t, p.Socket(), cfg)
	left := next.Survivors()
	if len(left) != workers {
		t.Fatalf("%d survivors of %d", len(left), workers)
	}
	var all []proc.ID
	for _, ch := range left {
		if ids[ch.Worker()] != ch.ID() || ch.Token() != "token-"+ch.Worker() {
			t.Errorf("%s is %v, and was %v", ch.Worker(), ch.ID(), ids[ch.Worker()])
		}
		all = append(all, ch.ID())
	}
	begun := time.Now()
	next.finish(t)
	awaitGone(t, all...)
	bounded(t, "all gone", time.Since(begun), 200*time.Millisecond)
}

func TestAShimThatIsOutOfDescriptorsStillKills(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Grace = patience
	p := start(t, cfg)
	limit := unix.Rlimit{Cur: 70, Max: 70}
	if err := unix.Prlimit(p.shimPID(t), unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	var workers []*shim.Child
	var refused error
	for i := 0; refused == nil && i < 70; i++ {
		ch, err := p.Spawn(shim.Spawn{
			Worker: "w" + strconv.Itoa(i), Token: "t" + strconv.Itoa(i), Path: "/bin/sh", Dir: "/",
			Args: []string{"sh", "-c", escapes + "while :; do sleep 60; done"},
			Env:  []string{"PATH=/usr/bin:/bin", "SNAKEPIT_WORKER_TOKEN=t" + strconv.Itoa(i)},
		}, newSink())
		if refused = err; err == nil {
			workers = append(workers, ch)
		}
	}
	if !errors.Is(refused, syscall.EMFILE) || len(workers) == 0 {
		t.Fatalf("after %d workers: %v, want EMFILE", len(workers), refused)
	}
	for range 40 { // peers that say nothing
		c, err := net.Dial("unix", p.Socket())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	below := descendants(t, p.shimPID(t))
	for _, ch := range workers {
		ch.Kill()
	}
	awaitGone(t, below...)
	_, out := p.quick(t, "again", "/bin/true")
	out.awaitExit(t)
}

func TestGuestsThatAreNoHostsChangeNothing(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Grace = patience
	p := start(t, cfg)
	ch, _ := p.quick(t, "w", "/bin/sleep", "600")
	for i := range 40 {
		c, err := net.Dial("unix", p.Socket())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		guest := []string{
			"", "GET / HTTP/1.1\r\n\r\n", "\xff\xff\xff\xffh", "\x00\x00\x00\x00h", "\x00\x00\x00\x20h{\"vers", "\x00\x00\x00\x03h{}", "\x00\x00\x00\x03q{}",
		}[i%7]
		if _, err := c.Write([]byte(guest)); err != nil && !errors.Is(err, syscall.EPIPE) {
			t.Fatal(err)
		}
		if i%2 == 0 {
			c.Close() // in the middle of a frame
		}
	}
	if err := p.Detach(patience); err != nil {
		t.Fatal(err)
	}
	<-p.ran
	begun := time.Now()
	next := attach(t, p.Socket(), cfg)
	bounded(t, "attached", time.Since(begun), 50*time.Millisecond)
	if left := next.Survivors(); len(left) != 1 || left[0].ID() != ch.ID() {
		t.Errorf("survivors %v", left)
	}
	next.finish(t)
}

func TestAWorkerThatFloodsNeitherFillsTheShimNorStopsIt(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.LogBytes = 1 << 20
	h := startHost(t, cfg)
	log := filepath.Join(cfg.Dir, "flood.log")
	h.signalAfterSpawn(t, log)
	for range 5 { // it goes round and round
		seen := inode(log + ".1")
		until(t, "the log is put aside", func() bool { now := inode(log + ".1"); return now != 0 && now != seen })
	}
	for _, path := range []string{log, log + ".1"} {
		if st, err := os.Stat(path); err == nil && st.Size() > cfg.LogBytes { // it may just be put aside
			t.Errorf("%s has %d bytes", path, st.Size())
		}
	}
	if kib := privateDirty(t, h.shim.PID); kib > 15<<10 && !raceEnabled {
		t.Errorf("the shim has %d KiB of private dirty memory", kib)
	}
	h.signal(t, unix.SIGCONT)
	h.tell(t, order{Spawn: &shim.Spawn{Worker: "next", Path: "/bin/true", Args: []string{"true"}, Dir: "/"}})
	h.await(t, "exited")
}

// signalAfterSpawn starts a worker that prints without end, and stops the host.
func (h *hostProcess) signalAfterSpawn(t *testing.T, log string) {
	t.Helper()
	h.tell(t, order{Spawn: &shim.Spawn{Worker: "flood", Path: "/bin/sh", Args: []string{"sh", "-c", "exec yes flood >&2"}, Dir: "/", Log: log}})
	h.signal(t, unix.SIGSTOP)
}

func inode(path string) uint64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Ino
}

func TestAWorkerThatIsThereIsNotStartedAgain(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	ch, _ := p.quick(t, "w", "/bin/sleep", "600")
	if _, err := p.Spawn(shim.Spawn{Worker: "w", Path: "/bin/true", Args: []string{"true"}, Dir: "/"}, newSink()); err == nil {
		t.Error("the same worker was started twice")
	}
	if !alive(ch.ID()) {
		t.Error("the first one is gone")
	}
}

func TestEveryCallReturnsWhenThePairEnds(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	spawned := make(chan struct{})
	go func() {
		defer close(spawned)
		for i := range 1000 {
			if _, err := p.Spawn(shim.Spawn{Worker: strconv.Itoa(i), Path: "/bin/sleep", Args: []string{"sleep", "600"}, Dir: "/"}, newSink()); err != nil {
				return
			}
		}
		t.Error("the pair never ended")
	}()
	until(t, "some are there", func() bool { return len(descendants(t, p.guard)) > 4 })
	if err := p.End(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-spawned:
	case <-time.After(patience):
		t.Error("Spawn doesn't return")
	}
	if err := <-p.ran; err != nil {
		t.Errorf("Run = %v", err)
	}
	if err := p.SetLease(0); !errors.Is(err, shim.ErrGone) {
		t.Errorf("SetLease = %v after the end, want ErrGone", err)
	}
}
