package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/boltfile"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestRecordGrowsStepByStepAndOutlivesItsHost(t *testing.T) {
	t.Parallel()
	l := open(t, newPath(t))
	want := intent("ml-1")
	must(t, l.Intend(want))
	want.Incarnation = 1
	expect(t, l, want)

	want.Process = process(4711)
	must(t, l.Identify("ml-1", want.Process))
	expect(t, l, want)

	want.Reattach = reattach()
	must(t, l.Complete("ml-1", want.Reattach))
	want.Reattach.Incarnation = 1
	l = reopen(t, l)
	expect(t, l, want)

	must(t, l.Complete("ml-1", want.Reattach))
	want.Reattach.Incarnation = 2
	expect(t, l, want)

	must(t, l.Erase("ml-1"))
	expect(t, l)
	expect(t, reopen(t, l))
}

func TestRecordsComeByWorker(t *testing.T) {
	t.Parallel()
	l := open(t, newPath(t))
	for _, id := range []string{"b-2", "a-1", "b-1"} {
		must(t, l.Intend(intent(id)))
	}
	all, err := l.Records()
	must(t, err)
	var ids []string
	for _, r := range all {
		ids = append(ids, string(r.Worker))
	}
	if diff := cmp.Diff([]string{"a-1", "b-1", "b-2"}, ids); diff != "" {
		t.Error(diff)
	}
}

func TestStepsOutOfOrderAreRefused(t *testing.T) {
	t.Parallel()
	l := open(t, newPath(t))
	must(t, l.Intend(intent("ml-1")))
	refused(t, l.Intend(intent("ml-1")), errdefs.Exists)
	refused(t, l.Complete("ml-1", reattach()), errdefs.Conflict)
	refused(t, l.Identify("ml-2", process(2)), errdefs.WorkerNotFound)
	refused(t, l.Complete("ml-2", reattach()), errdefs.WorkerNotFound)
	must(t, l.Identify("ml-1", process(2)))
	must(t, l.Identify("ml-1", process(2)))
	refused(t, l.Identify("ml-1", process(3)), errdefs.Conflict)
	must(t, l.Erase("ml-2"))
	want := intent("ml-1")
	want.Incarnation, want.Process = 1, process(2)
	expect(t, l, want)
}

func TestWhatIsOutOfBoundsIsRefused(t *testing.T) {
	t.Parallel()
	l := open(t, newPath(t))
	must(t, l.Intend(intent("ok")))
	must(t, l.Identify("ok", process(2)))
	record := func(change func(*ledger.Record)) error {
		r := intent("ml-1")
		change(&r)
		return l.Intend(r)
	}
	complete := func(change func(*ledger.Reattach)) error {
		a := reattach()
		change(&a)
		return l.Complete("ok", a)
	}
	long, broken := strings.Repeat("x", 4097), "a\xffb"
	for name, err := range map[string]error{
		"no id":              record(func(r *ledger.Record) { r.Worker = "" }),
		"no token":           record(func(r *ledger.Record) { r.Token = "" }),
		"a long id":          record(func(r *ledger.Record) { r.Worker = host.WorkerID(long) }),
		"a long token":       record(func(r *ledger.Record) { r.Token = long }),
		"a long pool":        record(func(r *ledger.Record) { r.Pool = long }),
		"a long fingerprint": record(func(r *ledger.Record) { r.Fingerprint = long }),
		"a long folder":      record(func(r *ledger.Record) { r.Dir = long }),
		"a folder of bytes":  record(func(r *ledger.Record) { r.Dir = broken }),
		"process 0":          l.Identify("ok", process(0)),
		"process 1":          l.Identify("ok", process(1)),
		"a group":            l.Identify("ok", process(-5)),
		"a long boot":        l.Identify("ok", ledger.Identity{Process: host.Process{PID: 2}, Boot: long}),
		"no network":         complete(func(a *ledger.Reattach) { a.Network = "" }),
		"another network":    complete(func(a *ledger.Reattach) { a.Network = "udp" }),
		"a name as address":  complete(func(a *ledger.Reattach) { a.Network, a.Address = "tcp", "localhost:1" }),
		"a long address":     complete(func(a *ledger.Reattach) { a.Address = long }),
		"negative slots":     complete(func(a *ledger.Reattach) { a.Slots = -1 }),
		"a negative version": complete(func(a *ledger.Reattach) { a.AppVersion = -1 }),
		"another":            complete(func(a *ledger.Reattach) { a.ProtocolVersion = -1 }),
	} {
		if errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("%s: %v", name, err)
		}
	}
	want := intent("ok")
	want.Incarnation, want.Process = 1, process(2)
	expect(t, l, want)
}

func TestLongestRecordFits(t *testing.T) {
	t.Parallel()
	l := open(t, newPath(t))
	name, path := strings.Repeat("\x01", 256), strings.Repeat("\x01", 4096) // six bytes each in JSON
	r := ledger.Record{Worker: host.WorkerID(name), Token: name, Pool: name, Fingerprint: name, Dir: path}
	must(t, l.Intend(r))
	r.Process = ledger.Identity{Process: host.Process{PID: 1<<31 - 1, StartTime: 1<<64 - 1}, Boot: name}
	must(t, l.Identify(r.Worker, r.Process))
	r.Reattach = ledger.Reattach{Network: "unix", Address: path, ProtocolVersion: 1<<31 - 1, AppVersion: 1<<31 - 1, Slots: 1<<31 - 1}
	must(t, l.Complete(r.Worker, r.Reattach))
	r.Incarnation, r.Reattach.Incarnation = 1, 1
	expect(t, l, r)
}

func TestAddressIsGoPlugins(t *testing.T) {
	t.Parallel()
	for _, a := range []ledger.Reattach{{Network: "unix", Address: "/run/s.sock"}, {Network: "tcp", Address: "127.0.0.1:4711"}, {Network: "tcp", Address: "[::1]:4711"}} {
		addr, err := a.Addr()
		if err != nil || addr.Network() != a.Network || addr.String() != a.Address {
			t.Errorf("%+v: %v, %v", a, addr, err)
		}
	}
}

func TestWritesFromEverywhereAreAllKept(t *testing.T) {
	t.Parallel()
	l := open(t, newPath(t))
	var wg sync.WaitGroup
	for g := range 20 {
		wg.Go(func() {
			for i := range 20 {
				id := fmt.Sprintf("w-%02d-%02d", g, i)
				err := errors.Join(l.Intend(intent(id)), l.Identify(host.WorkerID(id), process(100*g+i+2)))
				if i%2 == 1 {
					err = errors.Join(err, l.Erase(host.WorkerID(id)))
				}
				if _, rerr := l.Records(); err != nil || rerr != nil {
					t.Error(id, err, rerr)
				}
				if err := l.Intend(intent("taken")); i > 0 && errdefs.ReasonOf(err) != errdefs.Exists {
					t.Error("a refusal among others:", err)
				}
			}
		})
	}
	wg.Wait()
	all, err := reopen(t, l).Records()
	must(t, err)
	if len(all) != 20*10+1 {
		t.Errorf("%d records are there", len(all))
	}
	for _, r := range all[1:] {
		if r.Err != nil || r.Process.PID == 0 {
			t.Errorf("%+v", r)
		}
	}
}

func TestCloseEndsEverythingOnce(t *testing.T) {
	t.Parallel()
	l := open(t, newPath(t))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				if err := l.Intend(intent(fmt.Sprint(g, "-", i))); err != nil {
					if !errors.Is(err, ledger.ErrClosed) {
						t.Error(err)
					}
					return
				}
				if i == 3 {
					must(t, l.Close())
				}
			}
		})
	}
	wg.Wait()
	must(t, l.Close())
	_, err := l.Records()
	for name, err := range map[string]error{"Records": err, "Erase": l.Erase("x")} {
		if !errors.Is(err, ledger.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOneHostHasItOpen(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := open(t, path)
	must(t, l.Intend(intent("ml-1")))
	_, err := ledger.Open(path, ledger.Options{})
	refused(t, err, errdefs.Conflict)
	_, err = ledger.Read(path)
	refused(t, err, errdefs.Conflict)
	if !errors.Is(err, boltfile.ErrLocked) {
		t.Errorf("it doesn't say that the file is locked: %v", err)
	}
}

func TestReadChangesNothing(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	if records, err := ledger.Read(path); records != nil || err != nil {
		t.Errorf("a missing ledger: %v, %v", records, err)
	}
	l := open(t, path)
	must(t, l.Intend(intent("ml-1")))
	must(t, l.Close())
	before, err := os.ReadFile(path)
	must(t, err)
	records, err := ledger.Read(path)
	must(t, err)
	if len(records) != 1 || records[0].Token != intent("ml-1").Token {
		t.Errorf("read %+v", records)
	}
	if after, err := os.ReadFile(path); err != nil || string(before) != string(after) {
		t.Errorf("the file has changed (%v)", err)
	}
	if l = open(t, path); l.Incarnation() != 2 {
		t.Errorf("incarnation %d after it", l.Incarnation())
	}
}

func TestMissingFolderIsExplained(t *testing.T) {
	t.Parallel()
	_, err := ledger.Open(filepath.Join(t.TempDir(), "no", "ledger.db"), ledger.Options{})
	refused(t, err, errdefs.InvalidConfig)
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	must(t, open(t, path).Close())
	entries, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if st, err := e.Info(); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), st.Mode(), err)
		}
	}
	if diff := cmp.Diff([]string{"ledger.db", "ledger.db.incarnation"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestPrivateLedgerNeedsNoSync(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	for want := uint64(1); want <= 3; want++ {
		l, err := ledger.Open(path, ledger.Options{NoSync: true})
		must(t, err)
		if l.Incarnation() != want {
			t.Errorf("incarnation %d, want %d", l.Incarnation(), want)
		}
		must(t, l.Intend(intent(fmt.Sprint(want))))
		must(t, l.Close())
	}
	if records, err := ledger.Read(path); err != nil || len(records) != 3 {
		t.Errorf("Read: %v, %v", records, err)
	}
}

func TestNextHostWaitsForTheOneThatEnds(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := open(t, path)
	var wg sync.WaitGroup
	wg.Go(func() {
		next, err := ledger.Open(path, ledger.Options{LockTimeout: time.Minute})
		if err != nil || next.Incarnation() != 2 {
			t.Errorf("the next host: %v", err)
			return
		}
		must(t, next.Close())
	})
	must(t, l.Intend(intent("ml-1")))
	must(t, l.Close())
	wg.Wait()
}

func newPath(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "ledger.db")
}

func open(tb testing.TB, path string) *ledger.Ledger {
	tb.Helper()
	l, err := ledger.Open(path, ledger.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	paths.Store(l, path)
	return l
}

// paths remembers where each test's ledger lies.
var paths sync.Map

func reopen(t *testing.T, l *ledger.Ledger) *ledger.Ledger {
	t.Helper()
	must(t, l.Close())
	path, _ := paths.Load(l)
	return open(t, path.(string)) //nolint:errcheck // open stored it
}

func intent(id string) ledger.Record {
	return ledger.Record{Worker: host.WorkerID(id), Token: "0123456789abcdef0123456789abcdef", Pool: "ml", Fingerprint: "sha256:00ff", Dir: "/run/snakepit/1a2b3c4d/" + id, Devices: "cuda:GPU-1,cuda:GPU-2"}
}

func process(pid int) ledger.Identity {
	return ledger.Identity{Process: host.Process{PID: pid, StartTime: 1 << 60}, Boot: "3fa6a3a1-6a0c-4a6f-8d8c-0c1d2e3f4a5b"}
}

func reattach() ledger.Reattach {
	return ledger.Reattach{Network: "unix", Address: "/run/snakepit/1a2b3c4d/w.sock", ProtocolVersion: 1, AppVersion: 1, Slots: 4}
}

func expect(t *testing.T, l *ledger.Ledger, want ...ledger.Record) {
	t.Helper()
	got, err := l.Records()
	must(t, err)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func refused(t *testing.T, err error, want errdefs.Reason) {
	t.Helper()
	if errdefs.ReasonOf(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
