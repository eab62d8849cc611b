package main_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/snakepit-go/snakepit/examples/kv/kvplugin"
)

// slack is what continuous integration grants every bound of time: ten times its value.
const slack = 10

func TestPutIsGot(t *testing.T) {
	t.Parallel()
	store := start(t, config(t, "")).store
	must(t, store.Put(t.Context(), "greeting", []byte("hello")))
	wantValue(t, store, "greeting", "hello")
	must(t, store.Delete(t.Context(), "greeting"))
	if _, err := store.Get(t.Context(), "greeting"); status.Code(err) != codes.NotFound {
		t.Errorf("Get after Delete: %v, want NotFound", err)
	}
	if err := store.Put(t.Context(), "", nil); status.Code(err) != codes.InvalidArgument {
		t.Errorf("Put without a key: %v, want InvalidArgument", err)
	}
}

func TestPingAnswers(t *testing.T) {
	t.Parallel()
	must(t, start(t, config(t, "")).protocol.Ping())
}

func TestWatchTellsOfChanges(t *testing.T) {
	t.Parallel()
	store := start(t, config(t, "")).store
	var got []string
	for change, err := range store.Watch(t.Context(), "a/") {
		must(t, err)
		got = append(got, fmt.Sprintf("%s=%s %t", change.GetKey(), change.GetValue(), change.GetDeleted()))
		if len(got) == 1 {
			must(t, store.Put(t.Context(), "a/1", []byte("x")))
			must(t, store.Put(t.Context(), "b/1", []byte("y")))
			must(t, store.Delete(t.Context(), "a/1"))
		}
		if len(got) == 3 {
			break
		}
	}
	if diff := cmp.Diff([]string{"= false", "a/1=x false", "a/1= true"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestValueOf64MiBComesBack(t *testing.T) {
	t.Parallel()
	store := start(t, config(t, "")).store
	value := make([]byte, 64<<20)
	if _, err := rand.Read(value); err != nil {
		t.Fatal(err)
	}
	must(t, store.Put(t.Context(), "large", value))
	got, err := store.Get(t.Context(), "large")
	must(t, err)
	if !bytes.Equal(got, value) {
		t.Errorf("got %d other bytes", len(got))
	}
}

func TestPluginDialsItsHost(t *testing.T) {
	t.Parallel()
	store := start(t, config(t, "")).store
	for i, want := range []string{"a", "a+b", "a+b+c"} {
		got, err := store.Merge(t.Context(), "key", []byte{'a' + byte(i)}, func(old, added []byte) []byte {
			return bytes.TrimPrefix(fmt.Appendf(nil, "%s+%s", old, added), []byte("+"))
		})
		must(t, err)
		if string(got) != want {
			t.Errorf("merge %d: %q, want %q", i, got, want)
		}
	}
}

func TestHostDialsItsPlugin(t *testing.T) {
	t.Parallel()
	store := start(t, config(t, "")).store
	must(t, store.Put(t.Context(), "key", []byte("then")))
	snapshot, err := store.Snapshot(t.Context())
	must(t, err)
	defer func() { must(t, snapshot.Close()) }()
	must(t, store.Put(t.Context(), "key", []byte("now")))
	wantValue(t, snapshot.Client, "key", "then")
	wantValue(t, store, "key", "now")
}

func TestEverythingWorksOverTLSWithACertificateOnP256(t *testing.T) {
	t.Parallel()
	conf := config(t, "")
	must(t, kvplugin.UseTLS(conf))
	running := start(t, conf)
	must(t, running.protocol.Ping())
	must(t, running.store.Put(t.Context(), "key", []byte("value")))
	wantValue(t, running.store, "key", "value")
	merged, err := running.store.Merge(t.Context(), "key", []byte("more"), func(old, added []byte) []byte {
		return slices.Concat(old, added)
	})
	must(t, err)
	if string(merged) != "valuemore" {
		t.Errorf("merged %q", merged)
	}
	snapshot, err := running.store.Snapshot(t.Context())
	must(t, err)
	defer func() { must(t, snapshot.Close()) }()
	wantValue(t, snapshot.Client, "key", "valuemore")
}

func TestPluginUnderAutoMTLSSaysWhatToDo(t *testing.T) {
	t.Parallel()
	conf := config(t, "")
	conf.AutoMTLS = true
	message := startFails(t, conf)
	for _, want := range []string{"AutoMTLS", "P-521", "TLSConfig"} {
		if !strings.Contains(message, want) {
			t.Errorf("standard error has no %q:\n%s", want, message)
		}
	}
}

func TestHighestCommonVersionIsChosen(t *testing.T) {
	t.Parallel()
	all := kvplugin.Versions()
	for _, test := range []struct {
		name    string
		offered map[int]plugin.PluginSet
		want    int
	}{
		{"both", all, 2},
		{"the older only", map[int]plugin.PluginSet{1: all[1]}, 1},
		{"also newer ones", map[int]plugin.PluginSet{7: all[1], 2: all[2], 10: all[1]}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conf := config(t, "")
			conf.VersionedPlugins = test.offered
			if got := start(t, conf).client.NegotiatedVersion(); got != test.want {
				t.Errorf("version %d, want %d", got, test.want)
			}
		})
	}
}

func TestVersionWithoutBrokerRefusesBrokeredCalls(t *testing.T) {
	t.Parallel()
	conf := config(t, "")
	conf.VersionedPlugins = map[int]plugin.PluginSet{1: kvplugin.Versions()[1]}
	if _, err := start(t, conf).store.Snapshot(t.Context()); status.Code(err) != codes.Unimplemented {
		t.Errorf("Snapshot in version 1: %v, want Unimplemented", err)
	}
}

func TestHostWithoutACommonVersionIsTold(t *testing.T) {
	t.Parallel()
	conf := config(t, "")
	conf.VersionedPlugins = map[int]plugin.PluginSet{7: kvplugin.Versions()[1]}
	client := plugin.NewClient(conf)
	defer client.Kill()
	if _, err := client.Start(); err == nil || !strings.Contains(err.Error(), "incompatible API version") {
		t.Errorf("Start: %v, want an incompatible API version", err)
	}
}

func TestWrongCookieIsExplained(t *testing.T) {
	t.Parallel()
	conf := config(t, "")
	conf.MagicCookieValue = "another plugin's"
	if message := startFails(t, conf); !strings.Contains(message, "isn't meant to be run by hand") {
		t.Errorf("standard error: %q", message)
	}
}

func TestNoiseOnStandardOutputHarmsNothing(t *testing.T) {
	t.Parallel()
	conf := config(t, "noise")
	var stderr syncBuffer
	conf.Stderr = &stderr
	// Without PYTHONUNBUFFERED, under which nothing can be done about the first line.
	conf.SkipHostEnv = true
	conf.Cmd.Env = append(conf.Cmd.Env, "PATH="+os.Getenv("PATH"))
	running := start(t, conf)
	must(t, running.store.Put(t.Context(), "key", []byte("value")))
	for range 10 {
		wantValue(t, running.store, "key", "value")
	}
	running.client.Kill()
	for _, want := range []string{
		"before anything was imported", "before the plugin started", "by a call", "to descriptor 1", "by a child",
	} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("nothing on standard error that was printed %s", want)
		}
	}
}

func TestForwardedOutputReachesTheHost(t *testing.T) {
	t.Parallel()
	conf := config(t, "stdio")
	var stdout, stderr syncBuffer
	conf.SyncStdout, conf.SyncStderr = &stdout, &stderr
	client := start(t, conf).client
	must(t, stdout.waitFor("redirect\n"))
	must(t, stderr.waitFor("stderr\n"))
	client.Kill()
	if got, want := stdout.String(), "to the host's stdout\nprinted after redirect\n"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	if got, want := stderr.String(), "to the host's stderr\n"; got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}

func TestKillIsQuickAndNeverKills(t *testing.T) {
	const trials, bound = 20, 100 * time.Millisecond
	var took []time.Duration
	for range trials {
		took = append(took, kill(t, start(t, config(t, ""))))
	}
	slices.Sort(took)
	median := took[trials/2]
	t.Logf("Kill: median %v, fastest %v, slowest %v of %d", median, took[0], took[trials-1], trials)
	if median > slack*bound {
		t.Errorf("Kill's median is %v, want at most %v", median, slack*bound)
	}
}

func TestKillOfABusyPluginIsOrderlyToo(t *testing.T) {
	for _, odd := range []string{"main", "thread", "stuck"} {
		t.Run(odd, func(t *testing.T) {
			running, err := launchBusy(config(t, odd), odd)
			must(t, err)
			t.Logf("Kill took %v", kill(t, running))
		})
	}
}

// kill ends a plugin and returns how long that took. It checks that the process
// ended by itself, with status 0, and left no socket.
func kill(t *testing.T, running *started) time.Duration {
	t.Helper()
	address := running.client.ReattachConfig().Addr.String()
	began := time.Now()
	running.client.Kill()
	took := time.Since(began)
	if state := running.cmd.ProcessState; state == nil || !state.Success() {
		t.Errorf("the plugin ended with %v after %v, want status 0", state, took)
	}
	if _, err := os.Stat(filepath.Dir(address)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left over: %v", filepath.Dir(address), err)
	}
	return took
}

// launchBusy starts a plugin that is busy, where odd says, by the time that it returns.
func launchBusy(conf *plugin.ClientConfig, odd string) (*started, error) {
	var stderr syncBuffer
	conf.Stderr = &stderr
	running, err := launch(conf)
	if err != nil || odd == "" || odd == "stuck" { // that one is busy in the end only
		return running, err
	}
	if odd != "main" {
		go func() { _ = running.store.Delete(context.Background(), "key") }() // ends with the plugin
	}
	return running, stderr.waitFor("spinning")
}

// started is a live plugin.
type started struct {
	client   *plugin.Client
	protocol plugin.ClientProtocol
	store    *kvplugin.Client
	cmd      *exec.Cmd
}

// start starts a plugin, and ends it with the test.
func start(t *testing.T, conf *plugin.ClientConfig) *started {
	t.Helper()
	running, err := launch(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.client.Kill)
	return running
}

func launch(conf *plugin.ClientConfig) (*started, error) {
	client := plugin.NewClient(conf)
	protocol, err := client.Client()
	if err != nil {
		client.Kill()
		return nil, err
	}
	raw, err := protocol.Dispense(kvplugin.Name)
	if err != nil {
		client.Kill()
		return nil, err
	}
	store, ok := raw.(*kvplugin.Client)
	if !ok {
		client.Kill()
		return nil, fmt.Errorf("dispensed a %T", raw)
	}
	return &started{client: client, protocol: protocol, store: store, cmd: conf.Cmd}, nil
}

// startFails starts a plugin that doesn't, at once, and returns its standard error.
func startFails(t *testing.T, conf *plugin.ClientConfig) string {
	t.Helper()
	var stderr syncBuffer
	conf.Stderr = &stderr
	client := plugin.NewClient(conf)
	defer client.Kill()
	began := time.Now()
	if _, err := client.Start(); err == nil {
		t.Fatal("the plugin started")
	}
	took := time.Since(began)
	t.Logf("refused after %v", took)
	if took > slack*time.Second {
		t.Errorf("refused after %v only", took)
	}
	client.Kill() // waits until standard error has been read
	return stderr.String()
}

// config is an unmodified go-plugin client's for our server, or for one that's odd.
func config(t *testing.T, odd string) *plugin.ClientConfig {
	t.Helper()
	conf, err := configFor(python(t), odd)
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

func configFor(python, odd string) (*plugin.ClientConfig, error) {
	script := "kv_server.py"
	if odd != "" {
		script = filepath.Join("testdata", "odd_server.py")
	}
	path, err := filepath.Abs(script)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(python, path) // go-plugin ends it, in order
	cmd.Env = []string{"KV_ODD=" + odd}
	return kvplugin.Config(cmd), nil
}

// python finds an interpreter that has the SDK.
func python(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("SNAKEPIT_TEST_PYTHON"); path != "" {
		return path
	}
	path, err := filepath.Abs(filepath.Join("..", "..", ".venv", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no Python with the SDK: run `make dev`, or name one in SNAKEPIT_TEST_PYTHON (%v)", err)
	}
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, store *kvplugin.Client, key, want string) {
	t.Helper()
	got, err := store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s = %q, want %q", key, got, want)
	}
}

// syncBuffer is a buffer that go-plugin may write while a test reads.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

var _ io.Writer = (*syncBuffer)(nil)

// Write appends.
func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// waitFor waits until something has been written.
func (b *syncBuffer) waitFor(want string) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !strings.Contains(b.String(), want) {
		select {
		case <-tick.C:
		case <-late:
			return fmt.Errorf("no %q in %q", want, b.String())
		}
	}
	return nil
}

// String is all that was written.
func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
