//go:build linux

package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/hardware"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// fakeGPUs puts an nvidia-smi first on PATH that lists so many devices.
func fakeGPUs(t *testing.T, n int) {
	t.Helper()
	dir := t.TempDir()
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, "%d, NVIDIA A100, GPU-%s, 81920, 81000, 550.54\n", i, strings.Repeat(string('a'+rune(i)), 8))
	}
	script := "#!/bin/sh\n[ -z \"$*\" ] || cat <<'END'\n" + list.String() + "END\n"
	if err := os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	unset(t, "CUDA_VISIBLE_DEVICES")
}

// devicesOf are the ones that a worker's process was shown.
func devicesOf(w host.Worker) string {
	return proc.Getenv(w.Description().Process.PID, "CUDA_VISIBLE_DEVICES")
}

func launch(t *testing.T, l *Launcher, h testHost, id host.WorkerID) host.Worker {
	t.Helper()
	w, err := l.Launch(t.Context(), h.spec(id), toolless{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestEachWorkerHasItsOwnGPUsUntilItDies(t *testing.T) {
	fakeGPUs(t, 4)
	h := newTestHost(t, countingCommand(t))
	h.GPUs = 2
	l, _ := h.comeBack(t)
	first, second := launch(t, l, h, "w-1"), launch(t, l, h, "w-2")
	if a, b := devicesOf(first), devicesOf(second); a != "GPU-aaaaaaaa,GPU-bbbbbbbb" || b != "GPU-cccccccc,GPU-dddddddd" {
		t.Fatalf("they have %s and %s", a, b)
	}
	_, err := l.Launch(t.Context(), h.spec("w-3"), toolless{})
	if errdefs.ReasonOf(err) != errdefs.StartFailed || !strings.Contains(err.Error(), "of 4 there are 0 free") ||
		!strings.Contains(err.Error(), "w-1 has cuda:GPU-aaaaaaaa") {
		t.Errorf("a third worker: %v", err)
	}
	first.(host.Killer).Kill(nil) //nolint:errcheck,forcetypeassert // it's ours
	<-first.Done()
	if got := devicesOf(launch(t, l, h, "w-4")); got != "GPU-aaaaaaaa,GPU-bbbbbbbb" {
		t.Errorf("the next worker has %s", got)
	}
}

func TestFailedStartGivesItsGPUsBack(t *testing.T) {
	fakeGPUs(t, 1)
	h := newTestHost(t, host.Command{Path: "/bin/false", Adapter: "false"})
	h.GPUs = 1
	l, _ := h.comeBack(t)
	if _, err := l.Launch(t.Context(), h.spec("w-1"), toolless{}); err == nil {
		t.Fatal("/bin/false is a worker")
	}
	h.Command.Path = "/nowhere" // it has no process at all
	if _, err := l.Launch(t.Context(), h.spec("w-2"), toolless{}); err == nil || strings.Contains(err.Error(), "GPU") {
		t.Errorf("%v, want that there's no such program", err)
	}
	h.Command = countingCommand(t)
	if got := devicesOf(launch(t, l, h, "w-3")); got != "GPU-aaaaaaaa" {
		t.Errorf("after two failed starts a worker has %q", got)
	}
}

func TestSurvivorKeepsItsGPUs(t *testing.T) {
	fakeGPUs(t, 2)
	h := newTestHost(t, countingCommand(t))
	h.GPUs = 1
	p := h.start(t)
	p.ready()
	p.kill()
	l, _ := h.comeBack(t)
	other := launch(t, l, h, "w-2")
	if got := devicesOf(other); got != "GPU-bbbbbbbb" {
		t.Errorf("beside the survivor, a worker has %s", got)
	}
	w := reattach(t, l, h)
	if d, ok := w.(host.DeviceHolder); !ok || !slices.Equal(d.Devices(), []string{"cuda:GPU-aaaaaaaa"}) {
		t.Error("the survivor doesn't tell which device it has")
	}
	if err := w.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := devicesOf(launch(t, l, h, "w-3")); got != "GPU-aaaaaaaa" {
		t.Errorf("after the survivor's end a worker has %s", got)
	}
}

func TestEnvironmentHidesDevicesAndNamesThoseThatNobodyLists(t *testing.T) {
	two := []hardware.Device{{Index: 0, UUID: "GPU-aaaa1111"}, {Index: 3, UUID: "GPU-bbbb2222"}}
	for _, c := range []struct {
		shown   string
		kind    string
		devices []hardware.Device
		want    []string
	}{
		{"-", "cuda", two, []string{"cuda:GPU-aaaa1111", "cuda:GPU-bbbb2222"}},
		{"3", "cuda", two, []string{"cuda:GPU-bbbb2222"}},
		{"GPU-aaaa", "cuda", two, []string{"cuda:GPU-aaaa1111"}},
		{"", "cuda", two, nil},
		{"-1", "cuda", two, nil},
		{"-", "cuda", []hardware.Device{{Index: 1}}, []string{"cuda:1"}},
		{"-", "rocm", two, []string{"rocm:0", "rocm:3"}},
		{"-", "mps", []hardware.Device{{}}, nil},
		{"-", "cpu", nil, nil},
		{"0, 1,1", "cpu", nil, []string{"cuda:0", "cuda:1"}},
		{"-1", "cpu", nil, nil},
	} {
		unset(t, "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
		if c.shown != "-" {
			t.Setenv("CUDA_VISIBLE_DEVICES", c.shown)
		}
		if diff := cmp.Diff(c.want, visibleOf(c.kind, c.devices)); diff != "" {
			t.Errorf("%q shown, of %s: %s", c.shown, c.kind, diff)
		}
	}
}

func TestWorkerSeesItsDevicesWhateverTheHostWasShown(t *testing.T) {
	env := instead([]string{"CUDA_VISIBLE_DEVICES=7", "A=1", "CUDA_VISIBLE_DEVICES=8", "HIP_VISIBLE_DEVICES=9"}, gpuEnviron([]string{"cuda:GPU-1", "cuda:GPU-2"}))
	if want := []string{"A=1", "HIP_VISIBLE_DEVICES=9", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=GPU-1,GPU-2"}; !slices.Equal(env, want) {
		t.Errorf("%q", env)
	}
	env = instead([]string{"HIP_VISIBLE_DEVICES=9"}, gpuEnviron([]string{"rocm:2", "rocm:5"}))
	if want := []string{"ROCR_VISIBLE_DEVICES=2,5", "HIP_VISIBLE_DEVICES=0,1"}; !slices.Equal(env, want) {
		t.Errorf("%q", env)
	}
	if env := gpuEnviron(nil); env != nil {
		t.Errorf("without devices of its own: %q", env)
	}
}
