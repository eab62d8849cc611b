package embed_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/shim"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// instance is what the tokens of a dead host's workers begin with.
const instance = "00112233445566ff"

// deadHost makes the data directory of a host that was killed, and its run folder
// below base, and returns both.
func deadHost(t *testing.T, base string) (data, run string) {
	t.Helper()
	data = t.TempDir()
	sp := start(t, embed.Config{Adapter: write(t, adapter) + ":Tools", Workers: 1, DataDir: data, Serve: true, Set: []string{"python=" + interpreter(t)}})
	run = filepath.Dir(sp.Socket())
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(run) != filepath.Join(base, "snakepit") {
		t.Fatalf("the run folder is %s", run)
	}
	put(t, filepath.Join(data, "instance"), instance+"\n"+data+"\n")
	put(t, filepath.Join(data, "host.json"), "{}")
	makeRunFolder(t, run, data)
	return data, run
}

func makeRunFolder(t *testing.T, run, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(run, "worker"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(run, "lock"), "")
	put(t, filepath.Join(run, "instance"), instance+"\n")
	put(t, filepath.Join(run, "data-dir"), data+"\n")
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sleeper is a process that carries a worker's token; empty: it carries none.
func sleeper(t *testing.T, token string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	if token != "" {
		cmd.Env = append(os.Environ(), "SNAKEPIT_WORKER_TOKEN="+token)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	return cmd
}

// alive reports whether a child of ours runs: it isn't reaped yet.
func alive(cmd *exec.Cmd) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func sweepOf(t *testing.T, cfg embed.CleanupConfig) embed.Report {
	t.Helper()
	r, err := embed.Cleanup(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Cgroups = nil // those of other tests too
	return r
}

// record writes a row of the ledger for a worker that runs as a process.
func record(t *testing.T, data, worker string, pid int, boot string) {
	t.Helper()
	l, err := ledger.Open(filepath.Join(data, "ledger.db"), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	started, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	id := ledger.Identity{Process: host.Process{PID: pid, StartTime: started}, Boot: boot}
	for _, err := range []error{
		l.Intend(ledger.Record{Worker: host.WorkerID(worker), Token: instance + "00000000000000ab", Pool: "p"}),
		l.Identify(host.WorkerID(worker), id), l.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func bootID(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestCleanupEndsWhatADeadHostLeftAndNobodyElse(t *testing.T) {
	data, run := deadHost(t, runtimeDir(t))
	ours, stranger := sleeper(t, instance+"0123456789abcdef"), sleeper(t, "ffeeddccbbaa99880123456789abcdef")
	wiped, reused := sleeper(t, ""), sleeper(t, "")
	record(t, data, "p-1", wiped.Process.Pid, bootID(t))
	record(t, data, "p-2", reused.Process.Pid, "another boot")
	want := embed.Folder{
		State: embed.Abandoned, DataDir: data, RunDir: run,
		Processes: []embed.Process{
			{PID: ours.Process.Pid, Command: "sleep 600", Token: "89abcdef", Outcome: embed.WouldEnd},
			{PID: wiped.Process.Pid, Command: "sleep 600", Token: "000000ab", Outcome: embed.WouldEnd},
		},
		Removed: []string{run, filepath.Join(data, "host.json")},
		Records: []string{"p-1", "p-2"},
	}

	dry := sweepOf(t, embed.CleanupConfig{DataDir: data, DryRun: true})
	if diff := cmp.Diff([]embed.Folder{want}, dry.Folders); diff != "" {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}
	again := sweepOf(t, embed.CleanupConfig{DataDir: data, DryRun: true})
	if diff := cmp.Diff(dry, again); diff != "" || !alive(ours) || !alive(wiped) {
		t.Errorf("a dry run changed something:\n%s", diff)
	}

	r := sweepOf(t, embed.CleanupConfig{DataDir: data})
	for i := range want.Processes {
		want.Processes[i].Outcome = embed.Ended
	}
	if diff := cmp.Diff([]embed.Folder{want}, r.Folders); diff != "" || len(r.Stuck()) > 0 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if alive(ours) || alive(wiped) || !alive(stranger) || !alive(reused) {
		t.Errorf("alive: ours %v, wiped %v, stranger %v, pid of an earlier boot %v", alive(ours), alive(wiped), alive(stranger), alive(reused))
	}
	if r := sweepOf(t, embed.CleanupConfig{DataDir: data}); len(r.Folders) > 0 || r.LeftBehind() {
		t.Errorf("a second one finds %+v", r.Folders)
	}
}

func TestCleanupFindsProcessesWhenTheRunFolderIsGone(t *testing.T) {
	data, run := deadHost(t, runtimeDir(t))
	if err := os.RemoveAll(run); err != nil {
		t.Fatal(err)
	}
	ours := sleeper(t, instance+"0123456789abcdef")
	r := sweepOf(t, embed.CleanupConfig{DataDir: data})
	if len(r.Folders) != 1 || r.Folders[0].RunDir != "" || len(r.Folders[0].Processes) != 1 || alive(ours) {
		t.Errorf("%+v", r.Folders)
	}
}

func TestCleanupLeavesALiveHostAlone(t *testing.T) {
	base := runtimeDir(t)
	cfg := config(t)
	cfg.DataDir, cfg.Serve = t.TempDir(), true
	served, private := start(t, cfg), start(t, config(t))
	r := sweepOf(t, embed.CleanupConfig{DataDir: cfg.DataDir, RunFolders: true})
	if len(r.Folders) != 2 || r.LeftBehind() {
		t.Errorf("%+v, want the two that live", r.Folders)
	}
	for _, f := range r.Folders {
		if f.State != embed.Live || f.HostPID != os.Getpid() || filepath.Dir(f.RunDir) != filepath.Join(base, "snakepit") {
			t.Errorf("%+v, want a live host's", f)
		}
	}
	for _, sp := range []*embed.Host{served, private} {
		if err := sp.Call(t.Context(), "add", map[string]any{"a": 1}, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestCleanupLeavesWaitingWorkersToTheNextHost(t *testing.T) {
	data, run := deadHost(t, runtimeDir(t))
	ours := sleeper(t, instance+"0123456789abcdef")
	guard := lockOf(t, filepath.Join(run, shim.LockFile))
	r := sweepOf(t, embed.CleanupConfig{DataDir: data, RunFolders: true})
	if len(r.Folders) != 1 || r.Folders[0].State != embed.Waiting || !strings.Contains(r.Folders[0].Note, "orphan_grace") || !alive(ours) {
		t.Fatalf("%+v", r.Folders)
	}
	want := []embed.Process{{PID: ours.Process.Pid, Command: "sleep 600", Token: "89abcdef", Outcome: embed.Kept}}
	if diff := cmp.Diff(want, r.Folders[0].Processes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := guard.Close(); err != nil {
		t.Fatal(err)
	}
	if sweepOf(t, embed.CleanupConfig{DataDir: data}); alive(ours) {
		t.Error("it lives on without a guard")
	}
}

// lockOf holds a lock file as a process that lives does.
func lockOf(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestCleanupSweepsInstancesAndForeignRunFolders(t *testing.T) {
	base := runtimeDir(t)
	data, run := deadHost(t, base)
	lost := filepath.Join(base, "snakepit", "0badcafe") // its data directory was removed
	makeRunFolder(t, lost, filepath.Join(data, "gone"))
	fresh := filepath.Join(base, "snakepit", ".new-0badcafe") // of a host that was killed while it started
	makeRunFolder(t, fresh, "")

	if r := sweepOf(t, embed.CleanupConfig{DataDir: data, Instance: "b"}); len(r.Folders) > 0 {
		t.Errorf("another instance's: %+v", r.Folders)
	}
	r := sweepOf(t, embed.CleanupConfig{DataDir: t.TempDir(), RunFolders: true})
	found := map[string]string{}
	for _, f := range r.Folders {
		found[f.RunDir] = f.DataDir
	}
	if diff := cmp.Diff(map[string]string{run: data, lost: filepath.Join(data, "gone"), fresh: ""}, found); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for path, want := range map[string]bool{run: false, lost: false, fresh: false, data: true} {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) == want {
			t.Errorf("%s is there: %v, want %v", path, !want, want)
		}
	}
}

func TestCleanupOfNothingFindsNothing(t *testing.T) {
	runtimeDir(t)
	for name, cfg := range map[string]embed.CleanupConfig{
		"no folder":          {DataDir: filepath.Join(t.TempDir(), "none"), RunFolders: true},
		"an empty folder":    {DataDir: t.TempDir()},
		"an instance's name": {DataDir: t.TempDir(), Instance: "b"},
	} {
		if r := sweepOf(t, cfg); len(r.Folders) > 0 || r.LeftBehind() {
			t.Errorf("%s: %+v", name, r)
		}
		if left, _ := os.ReadDir(cfg.DataDir); len(left) > 0 {
			t.Errorf("%s: it made %v", name, left)
		}
	}
	if _, err := embed.Cleanup(t.Context(), embed.CleanupConfig{DataDir: t.TempDir(), Instance: "../b"}); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("a name that leads elsewhere: %v", err)
	}
}

func TestCleanupStopsWithItsContext(t *testing.T) {
	data, _ := deadHost(t, runtimeDir(t))
	ours := sleeper(t, instance+"0123456789abcdef")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := embed.Cleanup(ctx, embed.CleanupConfig{DataDir: data}); !errors.Is(err, context.Canceled) || !alive(ours) {
		t.Errorf("%v, alive %v", err, alive(ours))
	}
}

func TestAHostWaitsForACleanupOfItsDataDirectory(t *testing.T) {
	runtimeDir(t)
	cfg := config(t)
	cfg.DataDir = t.TempDir()
	path := filepath.Join(cfg.DataDir, "lock")
	held := lockOf(t, path)
	put(t, path, "4711 cleanup\n")
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		close(begun)
		sp, err := embed.Start(context.WithoutCancel(t.Context()), cfg)
		if err == nil {
			err = sp.Close()
		}
		ended <- err
	}()
	<-begun
	select {
	case err := <-ended:
		t.Fatalf("it didn't wait: %v", err)
	default:
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCleanupOfACopyOfALiveHostsDataDirectoryEndsNobody(t *testing.T) {
	runtimeDir(t)
	cfg := config(t)
	cfg.DataDir = t.TempDir()
	sp := start(t, cfg)
	before := sp.Workers("")
	theCopy := cfg
	theCopy.DataDir = t.TempDir()
	for _, name := range []string{"instance", "lock", "ledger.db"} {
		b, err := os.ReadFile(filepath.Join(cfg.DataDir, name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(theCopy.DataDir, name), string(b))
	}
	for _, f := range sweepOf(t, embed.CleanupConfig{DataDir: theCopy.DataDir}).Folders {
		if len(f.Processes) > 0 || f.RunDir != "" {
			t.Errorf("%+v", f)
		}
	}
	if err := sp.Call(t.Context(), "add", map[string]any{"a": 1}, nil); err != nil {
		t.Error(err)
	}
	for i, w := range sp.Workers("") {
		if w.Process != before[i].Process {
			t.Errorf("worker %v became %v", before[i].Process, w.Process)
		}
	}
}

func TestInstancesOfADataDirectoryRunBesideEachOther(t *testing.T) {
	runtimeDir(t)
	cfg := config(t)
	cfg.DataDir = t.TempDir()
	first := start(t, cfg)
	cfg.Instance = "b"
	second := start(t, cfg)
	for _, sp := range []*embed.Host{first, second} {
		if err := sp.Call(t.Context(), "add", map[string]any{"a": 1}, nil); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"b"}, embed.Instances(cfg.DataDir)); diff != "" {
		t.Error(diff)
	}
	_, err := embed.Start(t.Context(), cfg)
	if errdefs.ReasonOf(err) != errdefs.Exists || !strings.Contains(err.Error(), filepath.Join("instances", "b")) {
		t.Errorf("a second one: %v", err)
	}
	for _, bad := range []embed.Config{{Instance: "b"}, {DataDir: cfg.DataDir, Instance: ".."}, {DataDir: cfg.DataDir, Instance: strings.Repeat("x", 65)}} {
		bad.Adapter, bad.Set = cfg.Adapter, cfg.Set
		if _, err := embed.Start(t.Context(), bad); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
			t.Errorf("%q in %q: %v, want invalid_config", bad.Instance, bad.DataDir, err)
		}
	}
}
