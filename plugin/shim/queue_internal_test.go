//go:build linux

package shim

import (
	"bufio"
	"errors"
	"net"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// connected makes two ends of a connection.
func connected(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "end")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		ends[i] = c.(*net.UnixConn) //nolint:errcheck,forcetypeassert // it's a socketpair
	}
	return ends[0], ends[1]
}

func TestAHostThatDoesNotReadMakesNothingGrow(t *testing.T) {
	t.Parallel()
	conn, _ := connected(t)
	l := newLink(conn, &peer{})
	c, d := &child{id: "c"}, &child{id: "d"}
	for range 10_000 {
		for _, of := range []*child{c, d} {
			l.sendState(stoppedState{of}, &event{Event: eventStopped, Worker: of.id})
			l.sendState(frozenState{of}, &event{Event: eventFrozen, Worker: of.id})
		}
		l.sendOutput(make([]byte, 1000))
	}
	if n := len(l.queue); n > 4+maxBacklog/1000 {
		t.Errorf("%d parcels wait", n)
	}
	for range maxQueue {
		l.send(kindReply, reply{ID: 1})
	}
	if len(l.queue) > maxQueue {
		t.Errorf("%d parcels wait", len(l.queue))
	}
	l.send(kindReply, reply{ID: 1})
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read = %v: a host that only asks is still ours", err)
	}
}

func TestTheNewestStateIsTheOneThatIsTold(t *testing.T) {
	t.Parallel()
	conn, _ := connected(t)
	l := newLink(conn, &peer{})
	c := &child{id: "c"}
	for _, e := range []string{eventStopped, eventContinued, eventStopped} {
		l.sendState(stoppedState{c}, &event{Event: e, Worker: c.id})
	}
	l.send(kindEvent, &event{Event: eventExit, Worker: c.id})
	batch, _ := l.take()
	want, err := newFrame(kindEvent, &event{Event: eventStopped, Worker: c.id})
	if err != nil {
		t.Fatal(err)
	}
	if len(batch) != 2 || !slices.Equal(batch[0].frame, want) {
		t.Errorf("%d parcels, the first %q", len(batch), batch[0].frame)
	}
	l.sendState(stoppedState{c}, &event{Event: eventContinued, Worker: c.id})
	if again, _ := l.take(); len(again) != 1 {
		t.Error("a state was put into what is written already")
	}
}

func TestADescriptorLivesUntilItIsSent(t *testing.T) {
	t.Parallel()
	ours, theirs := connected(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd, err := unix.FcntlInt(w.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	h := newHandle(fd)
	l := newLink(ours, &peer{})
	l.send(kindReply, reply{ID: 1}, h)
	h.drop() // the worker is reaped before anything was written
	l.close()
	l.write()
	rights := &rightsReader{conn: theirs}
	if _, _, err := readFrame(rights); err != nil {
		t.Fatal(err)
	}
	got, err := rights.take()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(got, []byte("x")); err != nil {
		t.Error(err)
	}
	closeAll([]int{got})
	if n, err := r.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("Read = %d, %v", n, err)
	}
	if n, _ := r.Read(make([]byte, 2)); n != 0 || h.users.Load() != 0 {
		t.Errorf("the descriptor is still open: %d users", h.users.Load())
	}
	l.send(kindReply, reply{ID: 2}, h)
	if h.users.Load() != 0 {
		t.Error("a link that has ended keeps a descriptor")
	}
}

func TestADescriptorThatIsLostIsNotTakenForTheNext(t *testing.T) {
	t.Parallel()
	r := &rightsReader{fds: []int{lostFD, 1 << 20}}
	if _, err := r.take(); !errors.Is(err, unix.EMFILE) {
		t.Errorf("take = %v, want EMFILE", err)
	}
	if fd, err := r.take(); err != nil || fd != 1<<20 {
		t.Errorf("take = %v, %v", fd, err)
	}
	if _, err := r.take(); err == nil {
		t.Error("a descriptor came of nothing")
	}
}

func TestAConnectionThatWasResetIsAnError(t *testing.T) {
	t.Parallel()
	ours, theirs := connected(t)
	if _, err := ours.Write([]byte("never read")); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	in := bufio.NewReader(&rightsReader{conn: ours})
	if _, _, err := readFrame(in); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("readFrame = %v, want ECONNRESET", err)
	}
}

func TestNobodyWaitsForAShimThatDoesNotRead(t *testing.T) {
	t.Parallel()
	o := newOutbox()
	for i := range 100_000 {
		if err := o.put([]byte{'l', byte(i)}, true); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := o.put([]byte("q"), false); err != nil {
				t.Fatal(err)
			}
		}
	}
	frames, _ := o.take()
	if len(frames) != 2 || frames[0][1] != byte(99_999%256) || string(frames[1]) != "q" {
		t.Errorf("%d frames wait: %q", len(frames), frames)
	}
	for range maxOut {
		if err := o.put(nil, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.put(nil, false); err == nil {
		t.Error("requests without bound wait")
	}
	o.end()
	if err := o.put(nil, true); !errors.Is(err, ErrGone) {
		t.Errorf("put = %v after the end", err)
	}
}
