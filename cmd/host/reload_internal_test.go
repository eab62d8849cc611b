package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestReloadTellsOfEachStep(t *testing.T) {
	t.Parallel()
	steps := []reloadStep{
		{Pool: "ml", Total: 2},
		{Pool: "ml", Total: 2, Replaced: 1, Worker: "ml-1"},
		{Pool: "ml", Total: 2, Replaced: 2, Worker: "ml-2"},
		{Pool: "none"},
	}
	h := &fakeHost{steps: steps}
	o := runOn(t, h, "reload")
	if o.code != 0 || o.stdout != "reloaded pool=ml workers=2\nreloaded pool=none workers=0\n" || o.stderr != "ml: 1 of 2 replaced\nml: 2 of 2 replaced\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", o.code, o.stdout, o.stderr)
	}
	o = runOn(t, h, "reload", "ml", "-o", "json")
	if o.code != 0 || !strings.Contains(o.stdout, `"replaced": 2`) || o.stderr != "" {
		t.Errorf("exit %d, stdout %q, stderr %q", o.code, o.stdout, o.stderr)
	}
	h.err = errdefs.New(errdefs.StartFailed, "SyntaxError")
	if o = runOn(t, h, "reload", "ml"); o.code != 1 || o.stdout != "" || !strings.Contains(o.stderr, "SyntaxError") {
		t.Errorf("exit %d, stdout %q, stderr %q", o.code, o.stdout, o.stderr)
	}
	if want := []string{"reload ", "reload ml", "reload ml"}; !slices.Equal(h.asked, want) {
		t.Errorf("asked %q", h.asked)
	}
}

func TestWorkersAreDrainedAndKilledByName(t *testing.T) {
	t.Parallel()
	h := &fakeHost{}
	for command, want := range map[string]string{"drain": "drained worker=ml-1\n", "kill": "killed worker=ml-1\n"} {
		if o := runOn(t, h, command, "ml-1"); o.code != 0 || o.stdout != want || h.asked[len(h.asked)-1] != command+" ml-1" {
			t.Errorf("%s: exit %d, stdout %q, asked %q", command, o.code, o.stdout, h.asked)
		}
		if o := runOn(t, h, command); o.code != 2 {
			t.Errorf("%s without a worker: exit %d", command, o.code)
		}
	}
	h.err = errdefs.New(errdefs.WorkerNotFound, "no worker %q", "ml-1")
	if o := runOn(t, h, "kill", "ml-1"); o.code != 1 || o.stdout != "" || !strings.Contains(o.stderr, "no worker") {
		t.Errorf("exit %d, stdout %q, stderr %q", o.code, o.stdout, o.stderr)
	}
}

func TestServeWatchesWhenTold(t *testing.T) {
	t.Parallel()
	h := &fakeHost{status: fixedStatus(), ended: errdefs.New(errdefs.Internal, "over")}
	for _, watch := range []bool{false, true} {
		args := []string{"serve", "--adapter", "tools.py", "--data-dir", t.TempDir()}
		if watch {
			args = append(args, "--watch")
		}
		o := runWith(t.Context(), t, h, nil, args...)
		if len(o.launched) != 1 || o.launched[0].Watch != watch {
			t.Errorf("%v: launched %+v, %s", args, o.launched, o.stderr)
		}
	}
}
