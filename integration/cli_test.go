//go:build integration

package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/integration/program"
)

// failure is what -o json says on stderr.
type failure struct {
	Error struct {
		Reason, Class, Message, Path, Hint string
		MayHaveRun                         bool `json:"may_have_run"`
		Where                              map[string]string
		Exception                          *struct {
			Type, Message, Traceback string
			Bases                    []string
		}
		Exit *struct {
			Code   int
			Signal string
			Stderr []string
		}
	}
}

// aCall is a command line after `snakepit call`, with what it gives.
type aCall struct {
	name  string
	args  []string
	stdin string
	code  int
	want  string // on stdout
	err   string // part of stderr; empty: nothing may be there
	loose bool   // who notices first is chance, and each has its own words
}

// calls are alike on a live host and on one of their own.
func calls() []aCall {
	return []aCall{
		{name: "a number", args: []string{"add", "a=2", "b=3"}, want: "5\n"},
		{name: "a default", args: []string{"add", "a=2"}, want: "3\n"},
		{name: "all as JSON", args: []string{"add", "--json", `{"a": 1, "b": 41}`}, want: "42\n"},
		{name: "JSON from stdin", args: []string{"add", "--json", "-", "b=1"}, stdin: `{"a": 1, "b": 41}`, want: "2\n"},
		{name: "text", args: []string{"greet", "name=3"}, want: "hej 3\n"},
		{name: "text as JSON", args: []string{"greet", "name=å\n", "-o", "json"}, want: `"hej å\n"` + "\n"},
		{
			name: "every kind", args: []string{"kinds", "s=null", "i=7", "f=2", "b=true", "l=[1, 2]", "n=null"},
			want: "('null', 7, 2.0, True, [1, 2], None)\n",
		},
		{name: "bytes", args: []string{"flip", "data=@-"}, stdin: "\x00\xff\n", want: "\n\xff\x00"},
		{name: "bytes as JSON", args: []string{"flip", "data=abc", "-o", "json"}, want: `"Y2Jh"` + "\n"},
		{
			name: "values beyond JSON", args: []string{"when"},
			want: "{\n  \"at\": \"2024-02-29T12:30:00\",\n  \"nan\": \"NaN\",\n  \"big\": 1180591620717411303424\n}\n",
		},
		{name: "chunks as a list", args: []string{"count", "n=2"}, want: "[\n  {\n    \"i\": 0\n  },\n  {\n    \"i\": 1\n  }\n]\n", err: "100% 2/2 number 1\n"},
		{name: "chunks as lines", args: []string{"count", "n=2", "--stream"}, want: "{\"i\":0}\n{\"i\":1}\n", err: "100% 2/2 number 1\n"},
		{name: "no chunks", args: []string{"count", "n=0"}, want: "[]\n"},
		{name: "prints", args: []string{"chatty"}, want: "quiet\n"},
		{name: "an unknown tool", args: []string{"ad", "a=1"}, code: 1, err: "did you mean add?"},
		{name: "a tool name of 65 bytes", args: []string{strings.Repeat("a", 65)}, code: 1, err: "invalid_tool_name"},
		{name: "an empty tool name", args: []string{""}, code: 1, err: "invalid_tool_name"},
		{name: "an unknown pool", args: []string{"add", "a=1", "--pool", "nosuch"}, code: 1, err: "pool_not_found"},
		{name: "a missing argument", args: []string{"add", "b=1"}, code: 1, err: "a"},
		{name: "a wrong argument", args: []string{"add", "a=x"}, code: 1, err: "$.a"},
		{name: "an extra argument", args: []string{"add", "a=1", "c=2"}, code: 1, err: "c"},
		{name: "a tool that raises", args: []string{"boom", "n=3"}, code: 1, err: "ValueError: n is 3"},
		{name: "a deadline", args: []string{"nap", "seconds=20", "--timeout", "0.2"}, code: 1, err: "deadline", loose: true},
	}
}

// check compares what a call gave with what it should.
func (c aCall) check(t *testing.T, got outcome) {
	t.Helper()
	if got.code != c.code || got.stdout != c.want {
		t.Errorf("exit %d (want %d), stderr %s, stdout (-want +got):\n%s", got.code, c.code, got.stderr, cmp.Diff(c.want, got.stdout))
	}
	if !strings.Contains(got.stderr, c.err) || c.err == "" && got.stderr != "" {
		t.Errorf("stderr is %q, want %q in it", got.stderr, c.err)
	}
}

func TestLiveAndEmbeddedHostsAnswerAlike(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.adapter(t, "tools.py")
	p.serve(t, adapter)
	for _, c := range calls() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			live := p.runWithInput(t, c.stdin, append([]string{"call"}, c.args...)...)
			c.check(t, live)
			own := p.runWithInput(t, c.stdin, append([]string{"call", "--adapter", adapter, "--set", "python=" + program.Python(t)}, c.args...)...)
			c.check(t, own)
			if !c.loose && hide(live.stderr) != hide(own.stderr) {
				t.Errorf("stderr differs (-live +own):\n%s", cmp.Diff(live.stderr, own.stderr))
			}
		})
	}
}

// hide leaves out what differs by nature: worker and call ids, and progress that
// may be dropped.
func hide(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if line := strings.TrimSpace(line); !strings.HasPrefix(line, "where:") && !strings.HasPrefix(line, "50%") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestNothingIsLeftAfterACallOfItsOwn(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	got := p.call(t, p.adapter(t, "tools.py"), "pid")
	pid, err := strconv.Atoi(strings.TrimSpace(got.stdout))
	if err != nil {
		t.Fatalf("exit %d, %s%s", got.code, got.stdout, got.stderr)
	}
	if line, ok := p.processes(t)[mustIdentify(pid)]; ok {
		t.Errorf("the worker, process %d, is still alive: %s", pid, line)
	}
	p.wantNobodyLeft(t)
	p.wantNoFolders(t)
}

func mustIdentify(pid int) process { x, _ := identify(pid); return x }

// wantNoFolders fails when a host left its sockets behind.
func (p *place) wantNoFolders(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(p.dir, "snakepit", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestServeIsSeenAndDrained(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.adapter(t, "tools.py")
	s := p.serve(t, adapter, "--workers", "2")
	host, ok := identify(s.cmd.Process.Pid)
	if !ok || !strings.HasPrefix(s.ready, fmt.Sprintf("ready node=local pid=%d socket=/", host.pid)) || !strings.HasSuffix(s.ready, " workers=2\n") {
		t.Fatalf("ready line %q of process %v", s.ready, host)
	}

	workers := p.liveWorkers(t, 2)
	checkStatus(t, p, adapter, host.pid)
	checkTools(t, p)
	if got := p.run(t, "call", "add", "a=1", "--data-dir", filepath.Join(p.dir, "state", "snakepit")); got.stdout != "2\n" {
		t.Errorf("with --data-dir: %+v", got)
	}
	if got := p.run(t, "call", "add", "a=1", "--host", socketOf(s.ready)); got.stdout != "2\n" {
		t.Errorf("with --host: %+v", got)
	}

	if code := s.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d after SIGTERM: %s", code, s.stderr)
	}
	for _, w := range append(workers, host) {
		if w.alive() {
			t.Errorf("process %d outlived the host", w.pid)
		}
	}
	p.wantNoFolders(t)
	if got := p.run(t, "status"); got.code != 1 || !strings.Contains(got.stderr, "snakepit serve") {
		t.Errorf("status without a host: %+v", got)
	}
}

func socketOf(ready string) string {
	_, rest, _ := strings.Cut(ready, "socket=")
	path, _, _ := strings.Cut(rest, " ")
	return path
}

// liveWorkers are the processes that `workers` lists, all of them alive.
func (p *place) liveWorkers(t *testing.T, want int) []process {
	t.Helper()
	got := p.run(t, "workers", "-o", "json")
	list := decode[[]map[string]any](t, got.stdout)
	if len(list) != want {
		t.Fatalf("%d workers, want %d: %s%s", len(list), want, got.stdout, got.stderr)
	}
	var found []process
	for _, w := range list {
		for key := range strings.FieldsSeq("id pool node pid state slots busy calls session_count rss_bytes started_at") {
			if _, ok := w[key]; !ok {
				t.Errorf("no %s in %v", key, w)
			}
		}
		pid, _ := w["pid"].(float64)
		x, ok := identify(int(pid))
		if !ok || w["state"] != "ready" || w["pool"] != "default" || w["rss_bytes"] == 0.0 {
			t.Errorf("worker %v isn't alive and ready", w)
		}
		found = append(found, x)
	}
	return found
}

func checkStatus(t *testing.T, p *place, adapter string, pid int) {
	t.Helper()
	got := p.run(t, "status", "-o", "json")
	st := decode[struct {
		Node, State string
		PID         int
		DataDir     string `json:"data_dir"`
		Pools       []struct {
			Name, Adapter     string
			Size, Ready, Busy int
		}
	}](t, got.stdout)
	if st.Node != "local" || st.State != "ready" || st.PID != pid || st.DataDir != filepath.Join(p.dir, "state", "snakepit") {
		t.Errorf("status %s", got.stdout)
	}
	if len(st.Pools) != 1 || st.Pools[0].Adapter != adapter || st.Pools[0].Size != 2 || st.Pools[0].Ready != 2 {
		t.Errorf("pools %s", got.stdout)
	}
	if text := p.run(t, "status"); text.code != 0 || !strings.Contains(text.stdout, "2/2") || text.stderr != "" {
		t.Errorf("as text: %+v", text)
	}
}

func checkTools(t *testing.T, p *place) {
	t.Helper()
	got := p.run(t, "tools", "-o", "json")
	found := map[string]map[string]any{}
	for _, tool := range decode[[]map[string]any](t, got.stdout) {
		name, _ := tool["name"].(string)
		found[name] = tool
	}
	if add := found["add"]; add == nil || add["idempotent"] != true || add["stream"] != false || add["pool"] != "default" || add["input_schema"] == nil {
		t.Errorf("add is %v", add)
	}
	if found["count"]["stream"] != true {
		t.Errorf("count is %v", found["count"])
	}
	text := p.run(t, "tools", "add")
	for _, want := range []string{"Add two numbers.", "a  integer  required", "b  integer  default 1"} {
		if !strings.Contains(text.stdout, want) {
			t.Errorf("%q isn't in:\n%s%s", want, text.stdout, text.stderr)
		}
	}
	if words := p.run(t, "__complete", "call", "add", "b=1", ""); !strings.HasPrefix(words.stdout, "a=\tinteger\n:") {
		t.Errorf("completion: %+v", words)
	}
	if wrong := p.run(t, "tools", "ad"); wrong.code != 1 || !strings.Contains(wrong.stderr, "did you mean add?") {
		t.Errorf("an unknown tool: %+v", wrong)
	}
}

func TestSessionsKeepTheirWorkerAcrossCalls(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.serve(t, p.adapter(t, "tools.py"), "--workers", "2")
	for i, want := range []string{"5\n", "10\n", "15\n"} {
		if got := p.run(t, "call", "keep", "n=5", "--session", "s-1"); got.stdout != want {
			t.Errorf("call %d: %+v, want %q", i, got, want)
		}
	}
	if got := p.run(t, "call", "keep", "n=1", "--session", "s-2"); got.stdout != "1\n" {
		t.Errorf("another session: %+v", got)
	}
}

func TestSecondHostOnADataDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.adapter(t, "functions.py")
	s := p.serve(t, adapter)
	got := p.run(t, "serve", "--adapter", adapter, "--set", "python="+program.Python(t))
	if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, strconv.Itoa(s.cmd.Process.Pid)) {
		t.Errorf("%+v", got)
	}
	if got := p.run(t, "call", "twice", "n=4"); got.stdout != "8\n" {
		t.Errorf("the first host is disturbed: %+v", got)
	}
}

func TestKilledHostIsMissedAndReplaced(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.adapter(t, "functions.py")
	s := p.serve(t, adapter, "--set", "orphan_grace=1s")
	workers := p.liveWorkers(t, 2)
	s.stop(t, syscall.SIGKILL)
	if got := p.run(t, "status"); got.code != 1 || !strings.Contains(got.stderr, "no host answers at unix:"+socketOf(s.ready)) {
		t.Errorf("status: %+v", got)
	}
	for _, w := range workers {
		eventually(t, fmt.Sprintf("worker %d outlives its host", w.pid), func() bool { return !w.alive() })
	}
	p.serve(t, adapter)
	if got := p.run(t, "call", "twice", "n=2"); got.stdout != "4\n" {
		t.Errorf("the next host: %+v", got)
	}
}

func TestSIGTERMLetsARunningCallFinish(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := p.serve(t, p.adapter(t, "tools.py"), "-o", "json")
	if ready := decode[map[string]any](t, s.ready); ready["event"] != "ready" || ready["workers"] == nil {
		t.Errorf("ready line %q", s.ready)
	}
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	call := p.command(ctx, "call", "nap", "seconds=1")
	var stdout, stderr strings.Builder
	call.Stdout, call.Stderr = &stdout, &stderr
	if err := call.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no worker is busy", func() bool { return strings.Contains(p.run(t, "workers", "-o", "json").stdout, `"busy": 1`) })
	if code := s.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, s.stderr)
	}
	if err := call.Wait(); err != nil || stdout.String() != "rested\n" {
		t.Errorf("the call: %v, %q, %s", err, &stdout, &stderr)
	}
}

func TestSecondSignalEndsServeAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := p.serve(t, p.adapter(t, "tools.py"))
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	call := p.command(ctx, "call", "nap", "seconds=60", "--timeout", "60s")
	if err := call.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no worker is busy", func() bool { return strings.Contains(p.run(t, "workers", "-o", "json").stdout, `"busy": 1`) })
	begun := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the host isn't draining", func() bool { return p.run(t, "call", "add", "a=1").code != 0 })
	if code := s.stop(t, syscall.SIGINT); code != 1 {
		t.Errorf("exit code %d, want 1: %s", code, s.stderr)
	}
	t.Logf("ended after %s", time.Since(begun))
	if err := call.Wait(); err == nil {
		t.Error("the call that was cut off succeeded")
	}
}

func TestInterruptCancelsTheCall(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	adapter := p.adapter(t, "tools.py")
	p.serve(t, adapter, "--workers", "1")
	for name, extra := range map[string][]string{
		"live": nil,
		"own":  {"--adapter", adapter, "--set", "python=" + program.Python(t)},
	} {
		call := p.command(ctx, append([]string{"call", "count", "n=1000000000", "--stream"}, extra...)...)
		var stderr strings.Builder
		call.Stderr = &stderr
		stdout, err := call.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := call.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := stdout.Read(make([]byte, 1)); err != nil { // the tool runs
			t.Fatal(err)
		}
		if err := call.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		drainTo(stdout)
		_ = call.Wait() // the exit code says it
		if code := call.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), "cancelled") {
			t.Errorf("%s: exit code %d, %s", name, code, &stderr)
		}
	}
	if got := p.run(t, "call", "add", "a=1"); got.stdout != "2\n" {
		t.Errorf("the worker doesn't serve again: %+v", got)
	}
}

// drainTo reads until the other side ends.
func drainTo(r interface{ Read(b []byte) (int, error) }) {
	b := make([]byte, 64<<10)
	for {
		if _, err := r.Read(b); err != nil {
			return
		}
	}
}

func TestReaderThatGoesAwayEndsTheCall(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	call := p.command(ctx, "call", "count", "n=1000000000", "--stream", "--adapter", p.adapter(t, "tools.py"), "--set", "python="+program.Python(t))
	stdout, err := call.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := stdout.Close(); err != nil {
		t.Fatal(err)
	}
	_ = call.Wait() // the exit code says it
	if code := call.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

// badAdapters are hosts that can't start, with what each says.
func badAdapters(t *testing.T, p *place) map[string]struct {
	adapter, python string
	want            []string
} {
	t.Helper()
	type bad = struct {
		adapter, python string
		want            []string
	}
	py := program.Python(t)
	missing := filepath.Join(p.dir, "nowhere.py")
	return map[string]bad{
		"missing file":        {missing, py, []string{"invalid_config", missing}},
		"a folder":            {p.dir, py, []string{"invalid_config", "folder"}},
		"missing module":      {"no_such_module_anywhere", py, []string{"start_failed", "no_such_module_anywhere"}},
		"missing class":       {p.adapter(t, "tools.py") + ":Toolz", py, []string{"start_failed", "Toolz"}},
		"syntax error":        {p.adapter(t, "syntax_error.py"), py, []string{"start_failed", "SyntaxError", "syntax_error.py", "def add(a: int, b: int -> int:"}},
		"raises on import":    {p.adapter(t, "raises.py"), py, []string{"start_failed", "RuntimeError: the model isn't there", "raises.py"}},
		"no tools":            {p.adapter(t, "no_tools.py"), py, []string{"start_failed", "tool"}},
		"two of one name":     {p.adapter(t, "twice.py"), py, []string{"start_failed", "same"}},
		"missing interpreter": {p.adapter(t, "tools.py"), "/nowhere/python3", []string{"/nowhere/python3"}},
		"not an interpreter":  {p.adapter(t, "tools.py"), "/bin/true", []string{"start_failed"}},
	}
}

func TestAdaptersThatCantStartSayWhyAtOnce(t *testing.T) {
	t.Parallel()
	for name := range badAdapters(t, newPlace(t)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			c := badAdapters(t, p)[name]
			for _, command := range [][]string{{"call", "add", "a=1"}, {"serve"}} {
				begun := time.Now()
				args := append(command, "--adapter", c.adapter, "--set", "python="+c.python)
				got := p.run(t, args...)
				if took := time.Since(begun); took > 20*time.Second {
					t.Errorf("%s took %s", command[0], took)
				}
				if got.code != 1 || got.stdout != "" {
					t.Errorf("%s: exit %d, stdout %q", command[0], got.code, got.stdout)
				}
				for _, want := range c.want {
					if !strings.Contains(got.stderr, want) {
						t.Errorf("%s: %q isn't in:\n%s", command[0], want, got.stderr)
					}
				}
			}
			p.wantNobodyLeft(t)
			p.wantNoFolders(t)
		})
	}
}

func TestFailuresAreTypedInJSON(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.serve(t, p.adapter(t, "tools.py"), "--workers", "1")
	fail := func(args ...string) failure {
		t.Helper()
		got := p.run(t, append([]string{"call", "-o", "json"}, args...)...)
		if got.code != 1 || got.stdout != "" {
			t.Errorf("%s: exit %d, stdout %q", args, got.code, got.stdout)
		}
		return decode[failure](t, got.stderr)
	}

	boom := fail("boom", "n=3").Error
	if boom.Reason != "python_exception" || boom.Class != "tool_failed" || boom.Exception == nil {
		t.Fatalf("%+v", boom)
	}
	if x := boom.Exception; x.Type != "ValueError" || x.Message != "n is 3" || !cmp.Equal(x.Bases, []string{"Exception", "BaseException"}) ||
		!strings.Contains(x.Traceback, `raise ValueError(f"n is {n}")`) {
		t.Errorf("%+v", x)
	}
	if boom.Where["tool"] != "boom" || boom.Where["pool"] != "default" || boom.Where["worker"] == "" {
		t.Errorf("where %v", boom.Where)
	}
	for path, args := range map[string][]string{
		"$.a":    {"add", "a=x"},
		"$.l[1]": {"kinds", "s=", "i=1", "f=1", "b=true", `l=[1, "x"]`},
	} {
		if got := fail(args...).Error; got.Reason != "invalid_arguments" || got.Class != "invalid" || got.Path != path {
			t.Errorf("%s: %+v, want path %s", args, got, path)
		}
	}
	if got := fail("leave", "code=7").Error; got.Reason != "worker_crashed" || !got.MayHaveRun || got.Exit == nil || got.Exit.Code != 7 {
		t.Errorf("os._exit: %+v", got)
	}
	eventually(t, "the worker isn't replaced", func() bool { return p.run(t, "call", "add", "a=1").code == 0 })
	if got := fail("segfault").Error; got.Reason != "worker_crashed" || got.Exit == nil || got.Exit.Signal != "SIGSEGV" {
		t.Errorf("a segmentation fault: %+v", got)
	}
}

func TestWrongCommandLinesAreRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.adapter(t, "tools.py")
	for args, want := range map[string]string{
		"nosuch":                             "unknown command",
		"call":                               "which tool",
		"call add a --adapter " + adapter:    "name=value",
		"serve --set queue_size=1":           "--adapter",
		"status --set pool_sizes=3":          "pool_size",
		"serve --adapter x.py --set nosuch=": "nosuch",
		"status -o xml":                      "text or json",
	} {
		got := p.run(t, strings.Fields(args)...)
		if got.code != 2 || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: %+v, want exit 2 and %q", args, got, want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(p.dir, "state", "*")); len(left) > 0 {
		t.Errorf("made %q", left)
	}
}

func TestNoHomeAsksForADataDirectory(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.env = []string{"PATH=" + os.Getenv("PATH")}
	if got := p.run(t, "status"); got.code != 2 || !strings.Contains(got.stderr, "--data-dir DIR") {
		t.Errorf("%+v", got)
	}
}

func TestModulesAndFunctionsAreAdaptersToo(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.adapter(t, "tools.py")
	functions := p.adapter(t, "functions.py")
	for _, c := range [][]string{
		{functions, "twice", "n=21", "42\n"},
		{"functions", "twice", "n=21", "42\n"},
		{"tools:Tools", "add", "a=41", "42\n"},
		{"tools.py:Tools", "add", "a=41", "42\n"},
	} {
		if got := p.call(t, c[0], c[1], c[2]); got.stdout != c[3] {
			t.Errorf("%s: %+v", c[0], got)
		}
	}
}

func TestVersionAndLicencesArePrinted(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var version map[string]string
	if err := json.Unmarshal([]byte(p.run(t, "version", "-o", "json").stdout), &version); err != nil || version["version"] == "" {
		t.Errorf("%v, %v", version, err)
	}
	text := p.run(t, "version", "--licenses").stdout
	for _, want := range []string{"MIT License", "github.com/hashicorp/go-plugin", "MPL-2.0", "google.golang.org/grpc"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't there", want)
		}
	}
}
