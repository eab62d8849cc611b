package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

func TestResultsArePrintedForWhatTheyAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		give []any
		args []string
		want string
	}{
		{"text as it is", []any{"två\nlines"}, nil, "två\nlines\n"},
		{"text with -o json", []any{"<a>\n"}, []string{"-o", "json"}, `"<a>\n"` + "\n"},
		{"a number", []any{3}, nil, "3\n"},
		{"nothing", []any{nil}, nil, "null\n"},
		{"an object", []any{map[string]any{"a": []int{1}}}, nil, "{\n  \"a\": [\n    1\n  ]\n}\n"},
		{"an empty list", []any{[]int{}}, nil, "[]\n"},
		{"bytes as they are", []any{[]byte{0xff, 0, '\n'}}, nil, "\xff\x00\n"},
		{"a bytearray", []any{values.ByteArray{0xff, 0}}, nil, "\xff\x00"},
		{"bytes with -o json", []any{[]byte{0xff, 0}}, []string{"-o", "json"}, `"/wA="` + "\n"},
		{"a number above 64 bits", []any{new(big.Int).Lsh(big.NewInt(1), 70)}, nil, "1180591620717411303424\n"},
		{"NaN", []any{math.NaN()}, nil, `"NaN"` + "\n"},
		{"chunks as lines", []any{map[string]int{"a": 1}, "b"}, []string{"--stream"}, "{\"a\":1}\n\"b\"\n"},
		{"no chunks", nil, []string{"--stream"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := runOn(t, &fakeHost{tools: fixedTools(), give: pack(t, c.give...)}, append([]string{"call", "predict"}, c.args...)...)
			if o.code != 0 || o.stdout != c.want || o.stderr != "" {
				t.Errorf("exit %d, stdout %q, stderr %q; want %q", o.code, o.stdout, o.stderr, c.want)
			}
		})
	}
}

func TestCallSendsWhatTheCommandLineSays(t *testing.T) {
	t.Parallel()
	h := &fakeHost{tools: fixedTools(), give: pack(t, nil)}
	o := runOn(t, h, "call", "predict", "pixels=[1, 2.5]", "top=3", "--pool", "default", "--session", "s-1", "--timeout", "1.5", "--json", `{"near": null}`)
	if o.code != 0 || len(h.calls) != 1 || h.closed != 1 {
		t.Fatalf("exit %d (%s), %d calls, closed %d times", o.code, o.stderr, len(h.calls), h.closed)
	}
	want := invocation{
		Tool: "predict", Pool: "default", Session: "s-1", Timeout: 1500 * time.Millisecond,
		Args: map[string]any{"pixels": []any{int64(1), 2.5}, "top": int64(3), "near": nil},
	}
	if diff := cmp.Diff(want, h.calls[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAdapterStartsAHostOfItsOwnAndEndsIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want launch
	}{
		{nil, launch{Adapter: "x.py", Workers: 1, Private: true}},
		{[]string{"--workers", "3"}, launch{Adapter: "x.py", Workers: 3, Private: true}},
		{[]string{"--set", "pool_size=4"}, launch{Adapter: "x.py", Set: []string{"pool_size=4"}, Private: true}},
		{[]string{"--data-dir", "/data"}, launch{Adapter: "x.py", Workers: 1, DataDir: "/data"}},
	} {
		h := &fakeHost{give: pack(t, 1)}
		o := runWith(t.Context(), t, h, nil, append([]string{"call", "f", "--adapter", "x.py"}, c.args...)...)
		if o.code != 0 || len(o.launched) != 1 || h.closed != 1 {
			t.Fatalf("%v: exit %d (%s), %d hosts, closed %d times", c.args, o.code, o.stderr, len(o.launched), h.closed)
		}
		got := o.launched[0]
		got.Logger, got.Version = nil, ""
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.args, diff)
		}
	}
}

func TestWrongCommandLinesExitWithTwo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		want string
	}{
		{"nosuch", `unknown command "nosuch"`},
		{"statsu", "status"},
		{"status extra", "extra"},
		{"status --nosuch", "--nosuch"},
		{"status -o yaml", "text or json"},
		{"call", "which tool"},
		{"call f abc", "isn't name=value"},
		{"call f --timeout x", "30s"},
		{"call f --timeout 0", "above 0"},
		{"call f --timeout -3s", "above 0"},
		{"call f --workers 2", "goes with --adapter"},
		{"call f --adapter x.py --workers -1", "positive"},
		{"call f --adapter x.py --workers many", "many"},
		{"call f --json {", "--json: "},
		{"serve", "--adapter"},
		{"serve --adapter x.py extra", "extra"},
		{"serve --adapter x.py", "--host"},
		{"cleanup", "--host"},
		{"cleanup extra", "extra"},
		{"hardware", "--host"},
		{"hardware extra", "extra"},
		{"status --instance a/b", "up to 64 letters"},
		{"serve --adapter x.py --instance -x", "a letter or digit first"},
		{"completion tcsh", "tcsh"},
		{"tools a b", "at most 1"},
		{"call f --set nosuch=1", "nosuch"},
		{"status --set pool_sise=1", "pool_size"},
		{"call f --set pool_size", "pool_size"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(c.args)
			h := &fakeHost{tools: fixedTools()}
			o := runOn(t, h, args...)
			if o.code != 2 || o.stdout != "" || !strings.Contains(o.stderr, c.want) {
				t.Errorf("exit %d, stdout %q, stderr %q; want %q", o.code, o.stdout, o.stderr, c.want)
			}
			o = runOn(t, h, append(args, "-o", "json")...)
			var got struct{ Error failure }
			if err := json.Unmarshal([]byte(o.stderr), &got); err != nil || got.Error.Class != "invalid" {
				t.Errorf("with -o json: %q: %v", o.stderr, err)
			}
			if len(h.calls) != 0 {
				t.Error("the tool was called all the same")
			}
		})
	}
}

func TestMissingHomeIsAUsageError(t *testing.T) {
	t.Parallel()
	p, stderr := bareProgram()
	if code := p.run(t.Context(), []string{"status"}); code != 2 || !strings.Contains(stderr.String(), "--data-dir DIR") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestDataDirectoryComesFromTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		flag string
		want string
	}{
		{map[string]string{"XDG_STATE_HOME": "/state", "HOME": "/h"}, "", "/state/snakepit"},
		{map[string]string{"XDG_STATE_HOME": "relative", "HOME": "/h"}, "", "/h/.local/state/snakepit"},
		{map[string]string{"HOME": "/h"}, "", "/h/.local/state/snakepit"},
		{map[string]string{"HOME": "/h"}, "/own", "/own"},
	} {
		p, _ := bareProgram()
		p.getenv = func(name string) string { return c.env[name] }
		p.opts.dataDir = c.flag
		if got, err := p.dataDir(); got != c.want || err != nil {
			t.Errorf("%v: got %q, %v; want %q", c, got, err, c.want)
		}
	}
}

func TestLiveHostIsFoundThroughItsDataDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "host.json")
	for _, c := range []struct{ content, want string }{
		{`{"pid": 1, "socket": "/run/x.sock"}`, ""},
		{`{"pid": 1}`, "names no socket"},
		{`{`, "host.json: "},
	} {
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		o := runWith(t.Context(), t, &fakeHost{}, nil, "status", "--data-dir", dir)
		if c.want == "" && (o.code != 0 || !cmp.Equal(o.dialled, []string{"unix:/run/x.sock"})) {
			t.Errorf("%s: exit %d, dialled %q, %s", c.content, o.code, o.dialled, o.stderr)
		}
		if c.want != "" && (o.code != 1 || !strings.Contains(o.stderr, c.want)) {
			t.Errorf("%s: exit %d, %s; want %q", c.content, o.code, o.stderr, c.want)
		}
	}
}

func TestNoLiveHostSaysHowToGetOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, command := range []string{"status", "tools", "workers", "call f"} {
		o := runWith(t.Context(), t, &fakeHost{}, nil, append(strings.Fields(command), "--data-dir", dir)...)
		for _, want := range []string{"host_unreachable", filepath.Join(dir, "host.json"), "snakepit serve"} {
			if o.code != 1 || !strings.Contains(o.stderr, want) {
				t.Errorf("%s: exit %d, %q; want %q", command, o.code, o.stderr, want)
			}
		}
	}
}

func TestHostThatDoesNotAnswerIsNamed(t *testing.T) {
	t.Parallel()
	e := errdefs.New(errdefs.HostUnreachable, `connection error: desc = "transport: Error while dialing: dial unix /s: connect: connection refused"`)
	e.Hint = "is the host running?"
	o := runWith(t.Context(), t, &fakeHost{err: e}, nil, "call", "f", "--host", "/s")
	if o.code != 1 || !strings.Contains(o.stderr, "no host answers at /s: connection refused\n") || !strings.Contains(o.stderr, "snakepit serve") {
		t.Errorf("exit %d, %s", o.code, o.stderr)
	}
}

func TestCallOnAHostThatDiedMayHaveRun(t *testing.T) {
	t.Parallel()
	e := errdefs.New(errdefs.HostUnreachable, "EOF")
	e.MayHaveRun = true
	o := runWith(t.Context(), t, &fakeHost{err: e}, nil, "call", "f", "--host", "/s")
	if o.code != 1 || !strings.Contains(o.stderr, "the call may have run") {
		t.Errorf("exit %d, %s", o.code, o.stderr)
	}
}

func TestFailuresOfToolsShowTheTraceback(t *testing.T) {
	t.Parallel()
	o := runOn(t, &fakeHost{err: toolFailure()}, "call", "f")
	want := `snakepit: python_exception: ValueError: n is 3
  Traceback (most recent call last):
    File "tools.py", line 3, in f
  ValueError: n is 3
  where: pool default, worker default-1, tool f
  the call may have run, wholly or partly
  hint: give an even n
`
	if o.code != 1 || o.stdout != "" || o.stderr != want {
		t.Errorf("exit %d, stdout %q (-want +got):\n%s", o.code, o.stdout, cmp.Diff(want, o.stderr))
	}
}

func TestFailuresWithJSONAreOneObjectOnStderr(t *testing.T) {
	t.Parallel()
	o := runOn(t, &fakeHost{err: toolFailure()}, "call", "f", "-o", "json")
	want := `{"error":{"reason":"python_exception","class":"tool_failed","message":"ValueError: n is 3","hint":"give an even n","may_have_run":true,` +
		`"where":{"pool":"default","tool":"f","worker":"default-1"},"exception":{"type":"ValueError","bases":["Exception","BaseException"],"message":"n is 3",` +
		`"traceback":"Traceback (most recent call last):\n  File \"tools.py\", line 3, in f\nValueError: n is 3\n","notes":[]}}}` + "\n"
	if o.code != 1 || o.stdout != "" {
		t.Errorf("exit %d, stdout %q", o.code, o.stdout)
	}
	if diff := cmp.Diff(want, o.stderr); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCrashesShowHowTheProcessEnded(t *testing.T) {
	t.Parallel()
	e := errdefs.New(errdefs.WorkerCrashed, "worker default-1 is gone")
	e.Exit = &errdefs.Exit{Code: -1, Signal: "SIGSEGV", Stderr: []string{"Fatal Python error: \x1b[31mSegmentation fault"}}
	e.RetryAfter = 2 * time.Second
	o := runOn(t, &fakeHost{err: e}, "call", "f")
	for _, want := range []string{"process ended with signal SIGSEGV\n", "  Fatal Python error: \uFFFD[31mSegmentation fault\n", "try again in 2s"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("%q isn't in:\n%s", want, o.stderr)
		}
	}
}

func TestPathIsShownOnce(t *testing.T) {
	t.Parallel()
	e := errdefs.New(errdefs.InvalidArguments, "expected int, got str")
	e.Path = "$.n"
	if o := runOn(t, &fakeHost{err: e}, "call", "f"); !strings.Contains(o.stderr, "got str (at $.n)\n") {
		t.Error(o.stderr)
	}
	e.Message += " - at `$.n`"
	if o := runOn(t, &fakeHost{err: e}, "call", "f"); strings.Count(o.stderr, "$.n") != 1 {
		t.Error(o.stderr)
	}
}

func TestProgressGoesToStderr(t *testing.T) {
	t.Parallel()
	h := &fakeHost{tools: fixedTools(), give: pack(t, 1), progress: []snakepit.Progress{{Done: 1, Total: 2}, {Done: 2, Total: 2, Message: "done"}}}
	for _, args := range [][]string{{"call", "train"}, {"call", "train", "--stream"}} {
		if o := runOn(t, h, args...); o.stdout != "1\n" || o.stderr != " 50% 1/2\n100% 2/2 done\n" {
			t.Errorf("%s: stdout %q, stderr %q", args, o.stdout, o.stderr)
		}
	}
}

func TestProgressIsKeptFromScripts(t *testing.T) {
	t.Parallel()
	h := &fakeHost{tools: fixedTools(), give: pack(t, 1), progress: []snakepit.Progress{{Done: 1, Total: 2}}}
	if o := runOn(t, h, "call", "train", "-o", "json"); o.stdout != "1\n" || o.stderr != "" {
		t.Errorf("stdout %q, stderr %q", o.stdout, o.stderr)
	}
}

func TestCallTimeoutCountsOnALiveHostToo(t *testing.T) {
	t.Parallel()
	for timeout, args := range map[time.Duration][]string{
		2 * time.Second: {"--set", "call_timeout=2s"},
		3 * time.Second: {"--set", "call_timeout=2s", "--timeout", "3"},
		0:               nil,
	} {
		h := &fakeHost{give: pack(t, 1)}
		if o := runOn(t, h, append([]string{"call", "f"}, args...)...); o.code != 0 || h.calls[0].Timeout != timeout {
			t.Errorf("%s: exit %d (%s), timeout %s, want %s", args, o.code, o.stderr, h.calls[0].Timeout, timeout)
		}
	}
}

func TestCallOfItsOwnLogsOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	for level, args := range map[string][]string{"": nil, "debug": {"--set", "log_level=debug"}} {
		h := &fakeHost{give: pack(t, 1)}
		o := runWith(t.Context(), t, h, nil, append([]string{"call", "f", "--adapter", "x.py"}, args...)...)
		l := o.launched[0].Logger
		if logs := l != nil && l.IsDebug(); logs != (level == "debug") {
			t.Errorf("%s: logs %v", args, logs)
		}
	}
}

func TestSignalCancelsTheCall(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	h := &fakeHost{give: pack(t, 1), block: true, onWait: cancel}
	o := runWith(ctx, t, h, nil, "call", "f", "--stream", "--host", "/s")
	if o.code != 1 || o.stdout != "1\n" || !strings.Contains(o.stderr, "cancelled: the call was cancelled by a signal") || h.closed != 1 {
		t.Errorf("exit %d, stdout %q, stderr %q, closed %d", o.code, o.stdout, o.stderr, h.closed)
	}
}

func TestDeadlineOnThisSideSaysWhatRanOut(t *testing.T) {
	t.Parallel()
	o := runOn(t, &fakeHost{err: context.DeadlineExceeded}, "call", "f", "--pool", "p")
	if want := "snakepit: deadline: the call's deadline has passed\n  where: pool p, tool f\n"; o.code != 1 || o.stderr != want {
		t.Errorf("exit %d, %q, want %q", o.code, o.stderr, want)
	}
}

func TestServeIsReadyThenDrains(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "ready node=local pid=4711 socket=/run/snakepit/1/api.sock workers=2\n"},
		{
			[]string{"-o", "json"},
			`{"data_dir":"/data","event":"ready","node":"local","pid":4711,"socket":"/run/snakepit/1/api.sock","workers":2}` + "\n",
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		h := &fakeHost{status: fixedStatus(), onWait: cancel}
		o := runWith(ctx, t, h, nil, append([]string{"serve", "--adapter", "x.py", "--workers", "2", "--data-dir", "/d"}, c.args...)...)
		if o.code != 0 || o.stdout != c.want || o.stderr != "" {
			t.Errorf("exit %d, stdout %q, stderr %q; want %q", o.code, o.stdout, o.stderr, c.want)
		}
		if len(h.shut) != 1 || h.shut[0] != nil {
			t.Errorf("shut down with %v, want once and in peace", h.shut)
		}
		if l := o.launched[0]; !l.Serve || l.DataDir != "/d" || l.Workers != 2 {
			t.Errorf("launched %+v", l)
		}
	}
}

func TestSecondSignalForcesTheEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	force := make(chan struct{})
	close(force)
	h := &fakeHost{status: fixedStatus(), onWait: cancel, block: true}
	o := runWith(ctx, t, h, force, "serve", "--adapter", "x.py")
	if o.code != 1 || len(h.shut) != 1 || !errors.Is(h.shut[0], context.Canceled) {
		t.Errorf("exit %d, shut down with %v, %s", o.code, h.shut, o.stderr)
	}
}

func TestHostThatEndsByItselfIsAFailure(t *testing.T) {
	t.Parallel()
	h := &fakeHost{status: fixedStatus(), ended: errdefs.New(errdefs.DiskFull, "no room for the record")}
	o := runWith(t.Context(), t, h, nil, "serve", "--adapter", "x.py")
	if o.code != 1 || !strings.Contains(o.stderr, "disk_full: no room") || h.closed != 1 {
		t.Errorf("exit %d, %s, closed %d", o.code, o.stderr, h.closed)
	}
}

func TestServeStoppedBeforeItWasReadyIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := runWith(ctx, t, &fakeHost{}, nil, "serve", "--adapter", "x.py")
	if o.code != 0 || o.stdout != "" || !strings.Contains(o.stderr, "before it was ready") {
		t.Errorf("exit %d, stdout %q, stderr %q", o.code, o.stdout, o.stderr)
	}
}

func TestUnknownNamesSuggestTheNearest(t *testing.T) {
	t.Parallel()
	h := &fakeHost{tools: fixedTools(), status: fixedStatus(), workers: fixedWorkers()}
	for args, want := range map[string]string{
		"tools predcit":            "did you mean predict?",
		"tools --pool defalt":      "did you mean default?",
		"workers --pool mm":        "did you mean ml?",
		"tools predict --pool ml":  "no tool is named",
		"tools predict --pool mlx": "no pool is named",
	} {
		if o := runOn(t, h, strings.Fields(args)...); o.code != 1 || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: exit %d, %s; want %q", args, o.code, o.stderr, want)
		}
	}
}

func TestToolChosenIsTheOneInThePool(t *testing.T) {
	t.Parallel()
	tools := []snakepit.Tool{{Name: "f", Pool: "a"}, {Name: "f", Pool: "b"}}
	for pool, want := range map[string]string{"": "a", "b": "b", "c": ""} {
		if got := chooseTool(tools, "f", pool).Pool; got != want {
			t.Errorf("pool %q: got %q, want %q", pool, got, want)
		}
	}
}

func TestUpgradeWaitsForTheNextHost(t *testing.T) {
	t.Parallel()
	h := &fakeHost{status: fixedStatus()}
	o := runOn(t, h, "upgrade")
	if o.code != 0 || o.stdout != "upgraded old_pid=4711 pid=4712\n" || !strings.Contains(o.stderr, "process 4712 takes over") {
		t.Errorf("exit %d, %q, %q", o.code, o.stdout, o.stderr)
	}
	o = runOn(t, &fakeHost{status: fixedStatus()}, "upgrade", "-o", "json")
	if want := "{\n  \"old_pid\": 4711,\n  \"pid\": 4712\n}\n"; o.stdout != want {
		t.Errorf("%q, want %q", o.stdout, want)
	}
}
