//go:build linux

package embed

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

// fakeRegistry is what a registry tells of the nodes on a machine.
type fakeRegistry struct {
	members []cluster.Member
	moved   []cluster.MovedSession
	looks   int // at what was moved; then the first one moves

	mu         sync.Mutex // guards the fields below
	unverified []host.ProcessRecord
	released   []host.WorkerID
}

func (r *fakeRegistry) ID() string { return "me" }

func (r *fakeRegistry) Self() (host.Owner, bool) {
	return host.Owner{Node: "me", Incarnation: 9}, true
}

func (r *fakeRegistry) Members() []cluster.Member { return r.members }

func (r *fakeRegistry) Unverified(on host.MachineID) (all []host.ProcessRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.unverified {
		if p.Machine.Same(on) {
			all = append(all, p)
		}
	}
	return all
}

func (r *fakeRegistry) Moved(host.Owner) []cluster.MovedSession {
	if r.looks--; r.looks == 0 {
		r.moved[0].Owner, _ = r.Self()
	}
	return r.moved
}

func (r *fakeRegistry) ReleaseProcess(_ context.Context, worker host.WorkerID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if worker == "refused" {
		return errors.New("no majority")
	}
	r.released = append(r.released, worker)
	r.unverified = slices.DeleteFunc(r.unverified, func(p host.ProcessRecord) bool { return p.Worker == worker })
	return nil
}

// street is a machine with a node that looks after its neighbours, of which one has died.
type street struct {
	*neighbours

	registry *fakeRegistry
	dead     cluster.Member
	run      string // the dead one's folder
	instance string
}

func newStreet(t *testing.T) *street {
	t.Helper()
	base, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir is open to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	here := host.MachineID{Machine: "here", Boot: proc.BootID(), PIDNamespace: proc.PIDNamespace()}
	s := &street{
		registry: &fakeRegistry{}, instance: plugin.NewInstance(), run: filepath.Join(base, "0000dead"),
		dead: cluster.Member{ID: "dead", Incarnation: 4, Status: cluster.StatusDown, Machine: here, Process: departed(t)},
	}
	s.registry.members = []cluster.Member{s.dead, {ID: "me", Incarnation: 9, Status: cluster.StatusUp, Machine: here}}
	s.neighbours = &neighbours{registry: s.registry, machine: here, bases: []string{base}, log: hclog.NewNullLogger()}
	s.folder(t, s.run, s.dead.Process.PID, s.instance)
	return s
}

// folder makes a run folder.
func (s *street) folder(t *testing.T, dir string, pid int, instance string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{lockFile: strconv.Itoa(pid), instanceFile: instance, shim.LockFile: ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// change changes what the registry has of the dead node.
func (s *street) change(f func(m *cluster.Member)) { f(&s.registry.members[0]) }

// record has the registry know a process as a worker of the dead node.
func (s *street) record(worker host.WorkerID, p host.Process) {
	s.registry.unverified = append(s.registry.unverified, host.ProcessRecord{
		Worker: worker, Process: p, Machine: s.machine, Owner: host.Owner{Node: "dead", Incarnation: 4}, Unverified: true,
	})
}

// departed is a process that has ended.
func departed(t *testing.T) host.Process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id := processOf(t, cmd)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return id
}

func processOf(t *testing.T, cmd *exec.Cmd) host.Process {
	t.Helper()
	id, err := proc.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return host.Process{PID: id.PID, StartTime: id.Start}
}

// sleeper is a process of an instance; empty: of none. It's killed with the test.
func sleeper(t *testing.T, instance string) host.Process {
	t.Helper()
	return begun(t, exec.CommandContext(t.Context(), "sleep", "600"), instance)
}

func begun(t *testing.T, cmd *exec.Cmd, instance string) host.Process {
	t.Helper()
	if instance != "" {
		cmd.Env = append(os.Environ(), "SNAKEPIT_WORKER_TOKEN="+instance+"0123456789abcdef")
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id := processOf(t, cmd)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	return id
}

func lives(p host.Process) bool { return !proc.Gone(identityOf(p)) }

// held locks a file until the test's end.
func held(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
}

func TestNeighbourEndsWhatADeadNodeLeftAndNobodyElse(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	other := plugin.NewInstance()
	s.folder(t, filepath.Join(s.bases[0], "0000a11e"), os.Getpid(), other)
	ours, wiped := sleeper(t, s.instance), sleeper(t, "")
	stranger, neighbour := sleeper(t, ""), sleeper(t, other)
	s.record("w-1", departed(t))
	s.record("w-2", wiped)
	s.record("w-3", host.Process{PID: stranger.PID, StartTime: stranger.StartTime + 1}) // its pid was used again
	s.look(t.Context())
	if lives(ours) || lives(wiped) || !lives(stranger) || !lives(neighbour) {
		t.Errorf("alive: %v with its token, %v by its record, %v a stranger, %v another host's", lives(ours), lives(wiped), lives(stranger), lives(neighbour))
	}
	if want := []host.WorkerID{"w-1", "w-2", "w-3"}; !slices.Equal(s.registry.released, want) {
		t.Errorf("released %v, want %v", s.registry.released, want)
	}
	if left := runFolders(s.bases[0]); !slices.Equal(left, []string{filepath.Join(s.bases[0], "0000a11e")}) {
		t.Errorf("folders left: %v", left)
	}
}

func TestManyNeighboursMayCleanAtOnce(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	var orphans []host.Process
	for i := range 4 {
		orphans = append(orphans, sleeper(t, s.instance))
		s.record(host.WorkerID("w-"+strconv.Itoa(i)), orphans[i])
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { s.look(t.Context()) })
	}
	all.Wait()
	for _, p := range orphans {
		if lives(p) {
			t.Errorf("process %d lives", p.PID)
		}
	}
	if n := len(s.registry.unverified); n > 0 {
		t.Errorf("%d are unverified", n)
	}
	if left := runFolders(s.bases[0]); len(left) > 0 {
		t.Errorf("folders left: %v", left)
	}
}

// TestNeighbourTouchesNothingOfWhomIsNotVerifiablyDead has a node that is down in the
// registry, and in each case something that speaks for its being alive, or elsewhere.
func TestNeighbourTouchesNothingOfWhomIsNotVerifiablyDead(t *testing.T) {
	t.Parallel()
	for name, alive := range map[string]func(t *testing.T, s *street){
		"its process lives": func(t *testing.T, s *street) {
			t.Helper()
			s.change(func(m *cluster.Member) { m.Process = sleeper(t, "") })
		},
		"its process isn't known": func(_ *testing.T, s *street) { s.change(func(m *cluster.Member) { m.Process = host.Process{} }) },
		"it's another machine":    func(_ *testing.T, s *street) { s.change(func(m *cluster.Member) { m.Machine.Machine = "there" }) },
		"it's another PID namespace": func(_ *testing.T, s *street) {
			s.change(func(m *cluster.Member) { m.Machine.PIDNamespace = "pid:[1]" })
		},
		"it was another boot":             func(_ *testing.T, s *street) { s.change(func(m *cluster.Member) { m.Machine.Boot = "before" }) },
		"it's up":                         func(_ *testing.T, s *street) { s.change(func(m *cluster.Member) { m.Status = cluster.StatusUp }) },
		"it's about to be back":           func(_ *testing.T, s *street) { s.change(func(m *cluster.Member) { m.Status = cluster.StatusPausing }) },
		"it's this very node":             func(_ *testing.T, s *street) { s.change(func(m *cluster.Member) { m.ID = "me" }) },
		"its next start is on its way":    func(t *testing.T, s *street) { t.Helper(); held(t, filepath.Join(s.run, lockFile)) },
		"its shim waits for another host": func(t *testing.T, s *street) { t.Helper(); held(t, filepath.Join(s.run, shim.LockFile)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStreet(t)
			ours := sleeper(t, s.instance)
			alive(t, s)
			s.look(t.Context())
			if !lives(ours) {
				t.Error("its process was ended")
			}
			if len(runFolders(s.bases[0])) != 1 || instanceOf(s.run) != s.instance {
				t.Error("its folder was touched")
			}
		})
	}
}

func TestNeighbourSparesARecordedProcessThatAShimKeepsOrWhoseHostLives(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	keeper := exec.CommandContext(t.Context(), "sh", "-c", "sleep 600 & echo $!; wait")
	keeper.Args[0] = "snakepit-shim"
	out, err := keeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begun(t, keeper, "")
	text := make([]byte, 20)
	n, err := out.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text[:n-1]))
	if err != nil {
		t.Fatal(err)
	}
	id, err := proc.Identify(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proc.Kill(id) })
	kept := host.Process{PID: id.PID, StartTime: id.Start}
	s.record("kept", kept)
	s.look(t.Context())
	if !lives(kept) || len(s.registry.released) > 0 {
		t.Errorf("what a shim keeps: alive %v, released %v", lives(kept), s.registry.released)
	}

	s = newStreet(t)
	worker := sleeper(t, "")
	s.record("w", worker)
	s.record("gone", departed(t))
	s.change(func(m *cluster.Member) { m.Process = sleeper(t, "") }) // it hangs, and was given up
	s.look(t.Context())
	if want := []host.WorkerID{"gone"}; !lives(worker) || !slices.Equal(s.registry.released, want) {
		t.Errorf("of a host that lives: alive %v, released %v", lives(worker), s.registry.released)
	}
}

func TestRegistryIsToldAgainOfWhatItDidNotHear(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	s.record("refused", departed(t))
	s.look(t.Context())
	if len(s.registry.unverified) != 1 {
		t.Fatal("it's verified by nobody")
	}
	s.registry.unverified[0].Worker = "w"
	s.look(t.Context())
	if want := []host.WorkerID{"w"}; !slices.Equal(s.registry.released, want) {
		t.Errorf("released %v", s.registry.released)
	}
}

// deadOwner is whose workers a street's dead node had.
func deadOwner() host.Owner { return host.Owner{Node: "dead", Incarnation: 4} }

func TestEstateIsThatOfTheDeadOwnerAlone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(t *testing.T, s *street)
		from   host.Owner
		want   string
	}{
		"it is there":              {func(*testing.T, *street) {}, deadOwner(), ""},
		"an earlier registration":  {func(*testing.T, *street) {}, host.Owner{Node: "dead", Incarnation: 3}, "it has been started again"},
		"this node's last start":   {func(*testing.T, *street) {}, host.Owner{Node: "me", Incarnation: 9}, "it has been started again"},
		"nobody":                   {func(*testing.T, *street) {}, host.Owner{Node: "who", Incarnation: 1}, "the registry doesn't know it"},
		"another machine":          {func(_ *testing.T, s *street) { s.change(func(m *cluster.Member) { m.Machine.Machine = "there" }) }, deadOwner(), errElsewhere.Error()},
		"it's up":                  {func(_ *testing.T, s *street) { s.change(func(m *cluster.Member) { m.Status = cluster.StatusUp }) }, deadOwner(), "it is up"},
		"its process isn't known":  {func(_ *testing.T, s *street) { s.change(func(m *cluster.Member) { m.Process.PID = 0 }) }, deadOwner(), "its process 0 lives"},
		"its next start has it":    {func(t *testing.T, s *street) { t.Helper(); held(t, filepath.Join(s.run, lockFile)) }, deadOwner(), "nobody keeps its workers any more"},
		"a folder of another host": {func(t *testing.T, s *street) { t.Helper(); s.registry.unverified[0].Owner.Incarnation = 3 }, deadOwner(), "nobody keeps its workers any more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStreet(t)
			held(t, filepath.Join(s.run, shim.LockFile))
			s.record("w", sleeper(t, s.instance))
			tt.change(t, s)
			got, err := s.estate(tt.from)
			switch {
			case tt.want != "" && (err == nil || err.Error() != tt.want):
				t.Errorf("%+v, %v; want %q", got, err, tt.want)
			case tt.want == "" && (err != nil || got != plugin.Estate{Dir: s.run, Instance: s.instance}):
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	s := newStreet(t)
	s.record("w", sleeper(t, s.instance))
	if got, err := s.estate(deadOwner()); err == nil {
		t.Errorf("without a shim it's %+v", got)
	}
}

// fakeAdopter takes over those workers that it's told to keep.
type fakeAdopter struct {
	workers []host.WorkerID
	from    plugin.Estate
	err     error
}

func (a *fakeAdopter) Adopt(_ context.Context, e plugin.Estate, keep func(host.WorkerID) bool) (all []host.Survivor, err error) {
	a.from = e
	for _, w := range a.workers {
		if keep(w) {
			all = append(all, host.Survivor{Worker: w})
		}
	}
	return all, a.err
}

func TestOnlyWorkersAllOfWhoseSessionsAreOursAreTakenOver(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	held(t, filepath.Join(s.run, shim.LockFile))
	s.record("ours", sleeper(t, s.instance))
	a := &fakeAdopter{workers: []host.WorkerID{"ours", "shared", "theirs", "waits", "idle", ""}}
	s.launcher = a
	ours, theirs := host.Owner{Node: "me", Incarnation: 9}, host.Owner{Node: "third", Incarnation: 5}
	s.registry.moved = []cluster.MovedSession{
		{ID: "1", Home: "ours", Owner: deadOwner()}, // it moves while we wait
		{ID: "2", Home: "ours", Owner: ours},
		{ID: "3", Home: "shared", Owner: theirs},
		{ID: "4", Home: "shared", Owner: ours},
		{ID: "5", Home: "theirs", Owner: theirs},
		{ID: "7", Home: "", Owner: ours},
	}
	s.registry.looks = 3
	got := s.adopt(t.Context(), deadOwner())
	if len(got) != 1 || got[0].Worker != "ours" || a.from != (plugin.Estate{Dir: s.run, Instance: s.instance}) {
		t.Errorf("%+v of %+v", got, a.from)
	}
	s.registry.moved = append(s.registry.moved, cluster.MovedSession{ID: "6", Home: "waits", Owner: deadOwner()})
	if got := s.adopt(t.Context(), deadOwner()); len(got) != 1 {
		t.Errorf("with one that stays where it was: %+v", got)
	}
	a.from = plugin.Estate{}
	for i := range s.registry.moved {
		s.registry.moved[i].Owner = theirs
	}
	if got := s.adopt(t.Context(), deadOwner()); got != nil || a.from.Dir != "" {
		t.Errorf("of a node whose sessions are all another's: %+v", got)
	}
	s.registry.moved[0].Owner = ours
	if a.err = errors.New("another host was first"); s.adopt(t.Context(), deadOwner()) != nil {
		t.Error("it has survivors of a failed adoption")
	}
	a.err = nil
	s.change(func(m *cluster.Member) { m.Machine.Machine = "there" })
	if a.from = (plugin.Estate{}); s.adopt(t.Context(), deadOwner()) != nil || a.from.Dir != "" {
		t.Error("it adopts from another machine")
	}
}

func TestSurvivorsGoOnWhereSessionsLiveOrLivedBeforeTheirNodeWasLost(t *testing.T) {
	t.Parallel()
	me, other := host.Owner{Node: "me", Incarnation: 9}, host.Owner{Node: "other", Incarnation: 2}
	sessions := []host.Session{
		{ID: "1", Owner: me, Home: "bound"},
		{ID: "2", Owner: me},
		{ID: "3", Owner: me},
		{ID: "4", Owner: other, Home: "theirs"},
		{ID: "5", Owner: other},
		{ID: "6", Owner: me, Home: "shared"},
		{ID: "7", Owner: other, Home: "elsewhere"},
	}
	lived := func(id host.SessionID) host.Left {
		return map[host.SessionID]host.Left{"1": {Home: "former"}, "2": {Home: "left"}, "5": {Home: "lost"}, "7": {Home: "shared"}}[id]
	}
	got := homesOf("me", sessions, lived, lived)
	if want := map[host.WorkerID]bool{"bound": true, "left": true}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
