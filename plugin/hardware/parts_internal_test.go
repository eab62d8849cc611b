package hardware

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCoresAreCountedOncePerSocket(t *testing.T) {
	const text = `processor	: 0
model name	: Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz
physical id	: 0
core id		: 0
flags		: fpu sse4_1 sse4_2 avx avx2 fma f16c avx512f avx512vl amx_tile

processor	: 1
physical id	: 0
core id		: 0

processor	: 2
physical id	: 1
core id		: 0

processor	: 3
physical id	: 1
core id		: 0
`
	want := CPU{
		Model: "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", Cores: 2, Threads: 4,
		Features: []string{"amx_tile", "avx", "avx2", "avx512f", "avx512vl", "f16c", "fma", "sse4_1", "sse4_2"},
	}
	if diff := cmp.Diff(want, parseCPUInfo(text)); diff != "" {
		t.Error(diff)
	}
}

func TestARMHasNEON(t *testing.T) {
	const text = "processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp sve\n\nprocessor\t: 1\n"
	want := CPU{Cores: 2, Threads: 2, Features: []string{"dotprod", "fp16", "neon", "sve"}}
	if diff := cmp.Diff(want, parseCPUInfo(text)); diff != "" {
		t.Error(diff)
	}
}

func TestMemoryIsReadInBytes(t *testing.T) {
	total, available := parseMemInfo("MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\nodd\n")
	if total != 16<<20 || available != 8<<20 {
		t.Errorf("%d, %d", total, available)
	}
}

func twoCards() Hardware {
	return Hardware{
		Platform: "linux/amd64", CPU: CPU{Features: []string{"avx2"}},
		CUDA: &CUDA{Devices: []Device{{Index: 0}, {Index: 2}}},
		ROCm: &ROCm{Devices: []Device{{Index: 1}}},
	}
}

func TestDevicesAreSelectedByName(t *testing.T) {
	for name, want := range map[string]string{
		"auto": "cuda:0", "cpu": "cpu", "cuda": "cuda:0", "CUDA:2": "cuda:2", "rocm": "rocm:1", " rocm:1 ": "rocm:1",
	} {
		if got, err := twoCards().Select(name); got != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]error{
		"cuda:1": ErrNotAvailable, "mps": ErrNotAvailable, "cpu:1": ErrNotAvailable, "rocm:0": ErrNotAvailable,
		"gpu": ErrUnknown, "cuda:": ErrUnknown, "cuda:-1": ErrUnknown, "cuda:x": ErrUnknown, "": ErrUnknown, "auto:1": ErrUnknown,
	} {
		if got, err := twoCards().Select(name); !errors.Is(err, want) || got != "" {
			t.Errorf("%s is %q, %v; want %v", name, got, err, want)
		}
	}
}

func TestMachineWithoutAcceleratorsHasItsCPU(t *testing.T) {
	var h Hardware
	if got, err := h.Select("auto"); got != "cpu" || err != nil {
		t.Errorf("auto is %q, %v", got, err)
	}
	if _, err := h.Select("cuda"); !errors.Is(err, ErrNotAvailable) {
		t.Errorf("cuda: %v", err)
	}
	if got, err := (Hardware{MPS: &Device{}}).Select("auto"); got != "mps" || err != nil {
		t.Errorf("auto on an Apple processor is %q, %v", got, err)
	}
}

func TestFallbackTakesTheFirstThatThereIs(t *testing.T) {
	if got, err := twoCards().SelectWithFallback("mps", "cuda:1", "cuda:2", "cpu"); got != "cuda:2" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := twoCards().SelectWithFallback("mps", "cuda:9"); !errors.Is(err, ErrNotAvailable) {
		t.Errorf("%v", err)
	}
	if _, err := twoCards().SelectWithFallback("cpu", "cdua"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a misspelt name behind one that is there: %v", err)
	}
	if _, err := twoCards().SelectWithFallback(); !errors.Is(err, ErrNotAvailable) {
		t.Errorf("no names: %v", err)
	}
}

func TestIdentityIsTheSameForMachinesThatAreAlike(t *testing.T) {
	a, b := twoCards(), twoCards()
	b.CPU.MemoryAvailable, b.CUDA.Devices[0].MemoryFree = 1, 2 // they change with use
	if a.Identity().String() != b.Identity().String() || len(a.Identity().String()) != 16 {
		t.Errorf("%s, %s", a.Identity(), b.Identity())
	}
	b.CUDA.Devices = b.CUDA.Devices[:1]
	if a.Identity().String() == b.Identity().String() {
		t.Error("a card less makes no difference")
	}
	want := Identity{Platform: "linux/amd64", Accelerator: "cuda", CPUFeatures: []string{"avx2"}, GPUCount: 2}
	if diff := cmp.Diff(want, a.Identity()); diff != "" {
		t.Error(diff)
	}
}
