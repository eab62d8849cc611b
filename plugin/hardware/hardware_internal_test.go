//go:build unix

package hardware

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// programs puts scripts of these names on PATH, and nothing else.
func programs(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return dir
}

func recorded(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return "/bin/cat <<'END'\n" + string(text) + "END\n"
}

// nvidiaSMI refuses fields that the real one doesn't have.
func nvidiaSMI(t *testing.T) string {
	t.Helper()
	return `case "$*" in
*cuda_version*) echo 'Field "cuda_version" is not a valid field to query.'; exit 2 ;;
"--query-gpu=` + cudaFields + ` --format=csv,noheader,nounits")
` + recorded(t, "nvidia-smi-query.txt") + `;;
"")
` + recorded(t, "nvidia-smi.txt") + `;;
*) exit 3 ;;
esac
`
}

func look(t *testing.T) Hardware {
	t.Helper()
	h, err := New().Detect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHostWithNoMoreThanADriverHasCUDA(t *testing.T) {
	programs(t, map[string]string{"nvidia-smi": nvidiaSMI(t)})
	h := look(t)
	want := &CUDA{Driver: "550.54.15", Version: "12.4", Devices: []Device{
		{Index: 0, Name: "NVIDIA A100-SXM4-80GB", UUID: "GPU-5f2e6b0c-7a41-4a0e-9a0b-0d0f0f0f0001", MemoryTotal: 81920 * mebibyte, MemoryFree: 81037 * mebibyte},
		{Index: 1, Name: "NVIDIA GeForce GTX 1080, \"Founders\"", UUID: "GPU-5f2e6b0c-7a41-4a0e-9a0b-0d0f0f0f0002", MemoryTotal: 8192 * mebibyte},
	}}
	if diff := cmp.Diff(want, h.CUDA); diff != "" {
		t.Error(diff)
	}
	if h.Accelerator() != KindCUDA || len(h.Notes) > 0 {
		t.Errorf("accelerator %s, notes %q", h.Accelerator(), h.Notes)
	}
}

func TestCompilerTellsTheVersionThatTheDriverDoesNot(t *testing.T) {
	programs(t, map[string]string{
		"nvidia-smi": `[ -n "$*" ] && echo "0, Tesla T4, GPU-1, 15360, 15000, 470.1"`,
		"nvcc":       `echo "Cuda compilation tools, release 11.8, V11.8.89"`,
	})
	if h := look(t); h.CUDA == nil || h.CUDA.Version != "11.8" {
		t.Errorf("CUDA is %+v", h.CUDA)
	}
}

func TestDriverThatFailsIsNotedAndNoError(t *testing.T) {
	programs(t, map[string]string{
		"nvidia-smi": `echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."; exit 9`,
	})
	h := look(t)
	if h.CUDA != nil || len(h.Notes) != 1 || !strings.Contains(h.Notes[0], "couldn't communicate") {
		t.Errorf("CUDA %+v, notes %q", h.CUDA, h.Notes)
	}
	if device, err := h.Select("auto"); device != KindCPU || err != nil {
		t.Errorf("auto is %s, %v", device, err)
	}
}

func TestProgramThatHangsOrFloodsIsBounded(t *testing.T) {
	programs(t, map[string]string{"hang": "exec /bin/sleep 600", "flood": "/bin/dd if=/dev/zero bs=65536 count=100 2>/dev/null"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := output(ctx, "hang"); !errors.Is(err, errSlow) {
		t.Errorf("a program that hangs gives %v", err)
	}
	text, err := output(t.Context(), "flood")
	if err != nil || len(text) != maxOutput {
		t.Errorf("a program that floods gives %d bytes, %v", len(text), err)
	}
	if _, err := output(t.Context(), "missing"); !errors.Is(err, errMissing) {
		t.Errorf("a program that isn't there gives %v", err)
	}
}

func TestROCmDevicesHaveTheirMemory(t *testing.T) {
	programs(t, map[string]string{"rocm-smi": recorded(t, "rocm-smi.json")})
	want := &ROCm{Driver: "6.3.6", Devices: []Device{
		{Index: 0, Name: "AMD INSTINCT MI250 (MCM) OAM AC MBA", UUID: "0xe1a1b2c3d4e5f601", MemoryTotal: 68702699520, MemoryFree: 68691738624},
		{Index: 1, Name: "AMD INSTINCT MI250 (MCM) OAM AC MBA", UUID: "0xe1a1b2c3d4e5f602", MemoryTotal: 68702699520, MemoryFree: 34351349760},
		{Index: 10, Name: "Instinct MI210", MemoryTotal: 1024, MemoryFree: 1024},
	}}
	if diff := cmp.Diff(want, look(t).ROCm); diff != "" {
		t.Error(diff)
	}
}

func TestROCmInfoStepsInForROCmSMI(t *testing.T) {
	programs(t, map[string]string{"rocminfo": recorded(t, "rocminfo.txt")})
	want := &ROCm{Devices: []Device{{Index: 0, Name: "AMD Radeon RX 7900 XTX", UUID: "GPU-d5b8c1f2a3e4b5c6", MemoryTotal: 25149440 << 10}}}
	if diff := cmp.Diff(want, look(t).ROCm); diff != "" {
		t.Error(diff)
	}
}

func TestNonsenseFromROCmIsNoted(t *testing.T) {
	programs(t, map[string]string{"rocm-smi": "echo WARNING: no AMD GPU"})
	if h := look(t); h.ROCm != nil || len(h.Notes) != 1 {
		t.Errorf("ROCm %+v, notes %q", h.ROCm, h.Notes)
	}
}

func TestDetectorLooksOnceUntilItIsToldToForget(t *testing.T) {
	dir := programs(t, map[string]string{"nvidia-smi": `echo x >> "${0%/*}/asked"; [ -n "$*" ] && echo "0, Tesla T4, GPU-1, 15360, 15000, 470.1"`})
	d := New()
	asked := func() int {
		text, err := os.ReadFile(filepath.Join(dir, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "x")
	}
	for range 3 {
		if _, err := d.Detect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	once := asked()
	d.Forget()
	if _, err := d.Detect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if once != 2 || asked() != 4 { // the query, and the heading
		t.Errorf("nvidia-smi ran %d times, then %d", once, asked())
	}
}

func TestGivingUpIsNotRemembered(t *testing.T) {
	programs(t, map[string]string{"nvidia-smi": "exec /bin/sleep 600"})
	d := New()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Detect(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a detection that's given up gives %v", err)
	}
	programs(t, nil)
	if h, err := d.Detect(t.Context()); err != nil || h.CPU.Threads == 0 {
		t.Errorf("the next one gives %+v, %v", h, err)
	}
}

func TestThisMachineHasACPUWithMemory(t *testing.T) {
	programs(t, nil)
	c := look(t).CPU
	if c.Model == "" || c.Cores < 1 || c.Threads < c.Cores || c.Usable < 1 || c.Features == nil {
		t.Errorf("CPU %+v", c)
	}
}
