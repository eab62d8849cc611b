package hardware

import (
	"context"
	"runtime"
)

// Hardware is what a machine has.
type Hardware struct {
	Platform string   `json:"platform"` // "linux/amd64"
	CPU      CPU      `json:"cpu"`
	CUDA     *CUDA    `json:"cuda"` // nil: none
	ROCm     *ROCm    `json:"rocm"` // nil: none
	MPS      *Device  `json:"mps"`  // nil: not an Apple processor
	Notes    []string `json:"notes,omitempty"`
}

// CPU is the processor, and the memory beside it.
type CPU struct {
	Model           string   `json:"model"`
	Cores           int      `json:"cores"`   // physical
	Threads         int      `json:"threads"` // logical
	Usable          int      `json:"usable"`  // logical, by this process
	Features        []string `json:"features"`
	MemoryTotal     uint64   `json:"memory_total_bytes"`
	MemoryAvailable uint64   `json:"memory_available_bytes"` // zero: not known
}

// CUDA is NVIDIA's driver and its devices.
type CUDA struct {
	Driver  string   `json:"driver"`
	Version string   `json:"version"` // the newest CUDA that the driver runs; empty: not known
	Devices []Device `json:"devices"`
}

// ROCm is AMD's driver and its devices.
type ROCm struct {
	Driver  string   `json:"driver"` // empty: not known
	Devices []Device `json:"devices"`
}

// Device is one accelerator.
type Device struct {
	Index       int    `json:"index"`
	Name        string `json:"name"`
	UUID        string `json:"uuid"` // empty: not known
	MemoryTotal uint64 `json:"memory_total_bytes"`
	MemoryFree  uint64 `json:"memory_free_bytes"` // zero: not known
}

// The kinds of device.
const (
	KindCPU  = "cpu"
	KindCUDA = "cuda"
	KindROCm = "rocm"
	KindMPS  = "mps"
)

// Accelerator is the kind that "auto" stands for.
func (h Hardware) Accelerator() string {
	for _, kind := range []string{KindCUDA, KindROCm, KindMPS} {
		if len(h.Devices(kind)) > 0 {
			return kind
		}
	}
	return KindCPU
}

// Devices are those of a kind; the CPU is none.
func (h Hardware) Devices(kind string) []Device {
	switch {
	case kind == KindCUDA && h.CUDA != nil:
		return h.CUDA.Devices
	case kind == KindROCm && h.ROCm != nil:
		return h.ROCm.Devices
	case kind == KindMPS && h.MPS != nil:
		return []Device{*h.MPS}
	}
	return nil
}

// Detector looks once, and remembers.
type Detector struct {
	turn  chan struct{} // holds a token while nobody looks
	found *Hardware     // by whoever has the token
}

// New returns a detector that hasn't looked yet.
func New() *Detector {
	d := &Detector{turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d
}

// Detect tells what there is. The first call looks, for a few seconds at most, the
// others give the same; ctx bounds the wait.
func (d *Detector) Detect(ctx context.Context) (Hardware, error) {
	select {
	case <-d.turn:
	case <-ctx.Done():
		return Hardware{}, context.Cause(ctx)
	}
	defer func() { d.turn <- struct{}{} }()
	if d.found == nil {
		h := detect(ctx)
		if ctx.Err() != nil { // it didn't see all
			return Hardware{}, context.Cause(ctx)
		}
		d.found = &h
	}
	return *d.found, nil
}

// Forget has the next Detect look again.
func (d *Detector) Forget() {
	<-d.turn
	d.found = nil
	d.turn <- struct{}{}
}

// detect looks at the machine as it is now.
func detect(ctx context.Context) Hardware {
	h := Hardware{Platform: runtime.GOOS + "/" + runtime.GOARCH, CPU: detectCPU(ctx)}
	var note string
	if h.CUDA, note = detectCUDA(ctx); note != "" {
		h.Notes = append(h.Notes, note)
	}
	if h.ROCm, note = detectROCm(ctx); note != "" {
		h.Notes = append(h.Notes, note)
	}
	if runtime.GOOS == "darwin" && runtime.GOARCH == "arm64" {
		h.MPS = &Device{Name: h.CPU.Model, MemoryTotal: h.CPU.MemoryTotal, MemoryFree: h.CPU.MemoryAvailable}
	}
	return h
}
