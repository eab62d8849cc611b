//go:build linux

package shim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestMemoryRanOutBetweenTwoLooks(t *testing.T) {
	t.Parallel()
	var o oomWatch
	for _, step := range []struct {
		text string
		want bool
	}{
		{"nr_free_pages 7\noom_kill 3\nworkingset 1\n", false}, // the first look knows nothing of before
		{"nr_free_pages 7\noom_kill 3\nworkingset 1\n", false},
		{"nr_free_pages 7\noom_kill 4\nworkingset 1\n", true},
		{"nr_free_pages 7\noom_kill 4\nworkingset 1\n", false},
		{"nr_free_pages 7\n", false}, // a kernel that doesn't count
		{"oom_kill_extra 9\n", false},
		{"oom_kill 6", true},
	} {
		if got := o.compare(step.text); got != step.want {
			t.Errorf("after %q: %v, want %v", step.text, got, step.want)
		}
	}
}

func TestOnlyAKillOfTheSystemsIsForMemory(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status uint32
		oom    bool
		killed bool
		want   bool
	}{
		{status: 9, oom: true, want: true},
		{status: 9, oom: true, killed: true}, // by us
		{status: 9},
		{status: 15, oom: true},
		{status: 9 << 8, oom: true}, // an exit code
	} {
		if e := newExit(&child{killed: tc.killed}, unix.WaitStatus(tc.status), 0, tc.oom); e.OOM != tc.want {
			t.Errorf("%+v: OOM = %v", tc, e.OOM)
		}
	}
}

func TestASpawnArrivesAsItWas(t *testing.T) {
	t.Parallel()
	want := Spawn{
		Worker: "w", Token: "t", Path: "/bin/caf\xe9", Args: []string{"caf\xe9", "", "\xff\xfe"},
		Env: []string{"A=\x80", "B=ü"}, Dir: "/tmp/\xe4", Log: "/tmp/\xe4/log",
	}
	frame, err := newFrame(kindRequest, request{ID: 7, Op: opSpawn, Spawn: newOrder(want)})
	if err != nil {
		t.Fatal(err)
	}
	k, body, err := readFrame(bytes.NewReader(frame))
	if err != nil || k != kindRequest {
		t.Fatalf("%q, %v", k, err)
	}
	r, err := parseRequest(body)
	if err != nil || r.ID != 7 || r.Spawn == nil {
		t.Fatalf("%+v, %v", r, err)
	}
	if diff := cmp.Diff(want, r.Spawn.spawn()); diff != "" {
		t.Error(diff)
	}
}

func TestAFieldOfALaterVersionIsIgnored(t *testing.T) {
	t.Parallel()
	h, err := parseHello(kindHello, []byte(`{"version":9,"instance":"i","grace":5,"wings":[1,2]}`))
	if err != nil || h.Version != 9 || h.Instance != "i" || h.Grace != 5 {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := parseHello(kindRequest, []byte(`{}`)); err == nil {
		t.Error("a request was taken for a hello")
	}
}

func FuzzReadFrame(f *testing.F) {
	whole, err := newFrame(kindEvent, event{Event: eventExit, Worker: "w"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:3])
	f.Add([]byte{0, 0, 0, 0, 'h'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'h'})
	f.Fuzz(func(t *testing.T, in []byte) {
		k, body, err := readFrame(bytes.NewReader(in))
		if err != nil {
			if body != nil {
				t.Errorf("%q beside %v", body, err)
			}
			return
		}
		again, err := rawFrame(k, body)
		if err != nil || !bytes.HasPrefix(in, again) {
			t.Errorf("%q was read from %q, %v", again, in, err)
		}
	})
}

func FuzzParseOutput(f *testing.F) {
	frame, err := outputFrame(Stderr, "worker", []byte("hello"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame[header:])
	f.Add([]byte{1, 0xff, 0xff, 'x'})
	f.Add([]byte{2, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		stream, worker, data, err := parseOutput(in)
		if err != nil {
			return
		}
		again, err := outputFrame(stream, worker, data)
		if err != nil || !bytes.Equal(again[header:], in) {
			t.Errorf("%q was read as %d, %q, %q; %v", in, stream, worker, data, err)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, r := range []request{
		{ID: 1, Op: opSpawn, Spawn: newOrder(Spawn{Worker: "w", Path: "/bin/sh", Args: []string{"sh"}, Env: []string{"A=\xff"}})},
		{Op: opLease, Deadline: -1},
		{Op: opSignal, Worker: "w", Signal: 1 << 40},
	} {
		b, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"op":"spawn","spawn":{"args":[null]}}`))
	f.Add([]byte(`{"op":7}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := parseRequest(in)
		if err != nil || r.Spawn == nil {
			return
		}
		o := newOrder(r.Spawn.spawn())
		if o.Worker != r.Spawn.Worker || len(o.Args) != len(r.Spawn.Args) || !bytes.Equal(o.Path, r.Spawn.Path) {
			t.Errorf("%+v became %+v", r.Spawn, o)
		}
	})
}

func FuzzParseHello(f *testing.F) {
	f.Add(byte(kindHello), []byte(`{"version":1,"instance":"i","pid":7,"grace":1000000000,"deadline":-5}`))
	f.Add(byte(kindHello), []byte(`{"grace":"soon"}`))
	f.Add(byte(kindRequest), []byte(`{}`))
	f.Fuzz(func(t *testing.T, k byte, in []byte) {
		if h, err := parseHello(kind(k), in); err == nil && kind(k) != kindHello {
			t.Errorf("%+v of the kind %q", h, k)
		}
	})
}

func TestAFrameIsBounded(t *testing.T) {
	t.Parallel()
	if _, err := newFrame(kindRequest, request{Op: strings.Repeat("x", maxFrame)}); err == nil {
		t.Error("a frame beyond the bound was made")
	}
	frame, err := rawFrame(kindHello, make([]byte, maxHello))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := readFrameOf(bytes.NewReader(frame), maxHello); err == nil {
		t.Error("a hello beyond the bound was read")
	}
}

// A refusal that takes several frames, for many workers that an heir has.
func TestARefusalIsHeardToItsEnd(t *testing.T) {
	t.Parallel()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := [2]*net.UnixConn{}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "end")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		ends[i] = c.(*net.UnixConn) //nolint:errcheck,forcetypeassert // it's the socket pair
		defer ends[i].Close()
	}
	s := &shim{heir: true, workers: map[string]*child{}}
	for i := range 2*maxRights + 1 {
		id := fmt.Sprintf("w-%d", i)
		s.workers[id] = &child{id: id, token: "t-" + id}
	}
	s.workers["dead"] = &child{id: "dead", exit: &event{}}
	s.host = newLink(ends[0], &peer{pid: 7})
	go s.host.write()
	s.host.sendWelcome(s.refusal(), nil)
	s.host.close()
	c := &Client{rights: &rightsReader{conn: ends[1]}}
	c.in = bufio.NewReader(c.rights)
	_, err = c.welcome()
	var attached *AttachedError
	if !errors.As(err, &attached) || attached.PID != 7 || !attached.Heir || len(attached.Kept) != 2*maxRights+1 {
		t.Errorf("%+v", err)
	}
	<-s.host.written
}

// TestShimFromBeforeThereWereHeirsIsLeftAgain: it takes an heir for its own host.
func TestShimFromBeforeThereWereHeirsIsLeftAgain(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ended := make(chan error, 1)
	go func() {
		conn, err := listener.AcceptUnix()
		if err != nil {
			ended <- err
			return
		}
		defer conn.Close()
		frame, _ := newFrame(kindWelcome, welcome{Version: Version, PID: 1})
		if h, err := readHello(conn); err != nil || !h.Heir {
			ended <- fmt.Errorf("it hears %+v: %w", h, err)
			return
		}
		_, err = conn.Write(frame)
		if _, _, more := readFrame(conn); err == nil && !errors.Is(more, io.EOF) {
			err = fmt.Errorf("the connection goes on: %w", more)
		}
		ended <- err
	}()
	if c, err := AttachHeir(socket, "i", Settings{}); err == nil || !strings.Contains(err.Error(), "before there were heirs") {
		t.Errorf("%v, %v", c, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestHeirDoesNotWaitLongForAShimThatHangs: the sessions of a dead host wait for it.
func TestHeirDoesNotWaitLongForAShimThatHangs(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	begun := time.Now()
	if c, err := AttachHeir(socket, "i", Settings{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, %v", c, err)
	}
	if took := time.Since(begun); took >= helloTime {
		t.Errorf("it took %s", took)
	}
}
