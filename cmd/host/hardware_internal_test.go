package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/plugin/hardware"
)

func fixedHardware() hardware.Hardware {
	return hardware.Hardware{
		Platform: "linux/amd64",
		CPU: hardware.CPU{
			Model: "AMD EPYC 7763", Cores: 64, Threads: 128, Usable: 16, Features: []string{"avx", "avx2"},
			MemoryTotal: 256 << 30, MemoryAvailable: 100 << 30,
		},
		CUDA: &hardware.CUDA{Driver: "550.54.15", Version: "12.4", Devices: []hardware.Device{
			{Index: 0, Name: "NVIDIA A100", UUID: "GPU-1", MemoryTotal: 80 << 30, MemoryFree: 79 << 30},
			{Index: 1, Name: "NVIDIA A100", UUID: "GPU-2", MemoryTotal: 80 << 30},
		}},
		Notes: []string{"rocm-smi lists no devices"},
	}
}

func TestHardwareTellsTheFirstDeviceThatThereIs(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]struct {
		code           int
		stdout, stderr string
	}{
		"--select rocm,cuda:1,cpu": {0, "cuda:1\n", ""},
		"--select auto":            {0, "cuda:0\n", ""},
		"--select rocm,mps":        {1, "", "none of rocm, mps: device not available"},
		"--select cpu,cdua":        {2, "", `"cdua": not a device's name`},
	} {
		o := runWith(t.Context(), t, &fakeHost{}, nil, append([]string{"hardware"}, strings.Fields(args)...)...)
		if o.code != want.code || o.stdout != want.stdout || !strings.Contains(o.stderr, want.stderr) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", args, o.code, o.stdout, o.stderr)
		}
	}
}

func TestHardwareAsJSONHasWhatScriptsRelyOn(t *testing.T) {
	t.Parallel()
	o := runWith(t.Context(), t, &fakeHost{}, nil, "hardware", "-o", "json", "--select", "cuda")
	var got struct {
		Platform, Accelerator, Selected string
		Identity                        struct {
			ID       string
			GPUCount int `json:"gpu_count"`
		}
		CPU  struct{ Features []string }
		CUDA struct {
			Version string
			Devices []struct {
				UUID   string
				Memory uint64 `json:"memory_total_bytes"`
			}
		}
		ROCm  *struct{}
		Notes []string
	}
	if err := json.Unmarshal([]byte(o.stdout), &got); err != nil || o.code != 0 {
		t.Fatalf("exit %d, %v: %s%s", o.code, err, o.stdout, o.stderr)
	}
	if got.Accelerator != "cuda" || got.Selected != "cuda:0" || len(got.Identity.ID) != 16 || got.Identity.GPUCount != 2 ||
		got.CUDA.Version != "12.4" || len(got.CUDA.Devices) != 2 || got.CUDA.Devices[1].UUID != "GPU-2" || got.CUDA.Devices[0].Memory != 80<<30 ||
		got.ROCm != nil || len(got.CPU.Features) != 2 || len(got.Notes) != 1 {
		t.Errorf("%+v", got)
	}
}
