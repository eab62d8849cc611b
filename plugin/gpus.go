package plugin

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/hardware"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// gpus are the machine's accelerators, and which worker has which. A device is
// named by its kind and by what its driver takes: "cuda:GPU-5f2e…", "rocm:1".
type gpus struct {
	detector *hardware.Detector

	mu   sync.Mutex // guards held
	held map[string]host.WorkerID
}

// take gives a worker n devices that no other worker has. It blocks while the
// machine is looked at, for the first one.
func (g *gpus) take(ctx context.Context, id host.WorkerID, n int) ([]string, error) {
	if n <= 0 {
		return nil, nil
	}
	all, err := g.visible(ctx)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var free []string
	for _, d := range all {
		if _, taken := g.held[d]; !taken {
			free = append(free, d)
		}
	}
	if len(free) < n {
		return nil, g.tooFew(n, all, len(free))
	}
	if g.held == nil {
		g.held = map[string]host.WorkerID{}
	}
	for _, d := range free[:n] {
		g.held[d] = id
	}
	return free[:n], nil
}

// tooFew says who has what.
func (g *gpus) tooFew(n int, all []string, free int) error {
	e := errdefs.New(errdefs.StartFailed, "a worker needs %d GPUs, and of %d there are %d free", n, len(all), free)
	var holders []string
	for _, d := range slices.Sorted(maps.Keys(g.held)) {
		holders = append(holders, fmt.Sprintf("%s has %s", g.held[d], d))
	}
	if len(holders) > 0 {
		e.Message += ": " + strings.Join(holders, ", ")
	}
	e.Hint = "start fewer workers, or lower gpus_per_worker"
	if len(all) == 0 {
		e.Hint = "`snakepit hardware` tells what the drivers list; CUDA_VISIBLE_DEVICES of the host's environment may hide devices"
	}
	return e
}

// keep notes which devices a worker has that an earlier host has left.
func (g *gpus) keep(id host.WorkerID, devices string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		g.held = map[string]host.WorkerID{}
	}
	for d := range strings.SplitSeq(devices, ",") {
		if d != "" {
			g.held[d] = id
		}
	}
}

// of gives a worker's devices, in order.
func (g *gpus) of(id host.WorkerID) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var own []string
	for d, holder := range g.held {
		if holder == id {
			own = append(own, d)
		}
	}
	slices.Sort(own)
	return own
}

// give takes back what a worker had, once its process is gone.
func (g *gpus) give(id host.WorkerID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.held, func(_ string, holder host.WorkerID) bool { return holder == id })
}

// visible are the devices that the host may use, by the kind that there is. None are
// remembered for as long as there are none: the driver may come up after the host.
func (g *gpus) visible(ctx context.Context) ([]string, error) {
	h, err := g.detector.Detect(ctx)
	if err != nil {
		return nil, err
	}
	kind := h.Accelerator()
	out := visibleOf(kind, h.Devices(kind))
	if len(out) == 0 {
		g.detector.Forget()
	}
	return out, nil
}

// visibleOf leaves out what the host's environment hides. Where no driver's program lists
// devices, as in many containers, those count that the environment names for CUDA.
func visibleOf(kind string, devices []hardware.Device) []string {
	variable := "CUDA_VISIBLE_DEVICES"
	switch kind {
	case hardware.KindMPS:
		return nil // it's one, and shared
	case hardware.KindROCm:
		variable = "ROCR_VISIBLE_DEVICES"
	default:
		kind = hardware.KindCUDA
	}
	shown, limited := os.LookupEnv(variable)
	names := strings.Split(shown, ",")
	var out []string
	for _, d := range devices {
		if limited && !slices.ContainsFunc(names, func(name string) bool { return isNamed(d, name) }) {
			continue
		}
		out = append(out, kind+":"+nameOf(kind, d))
	}
	if len(devices) > 0 || !limited {
		return out
	}
	for _, name := range names {
		if name = strings.TrimSpace(name); name != "" && name != "-1" && !slices.Contains(out, kind+":"+name) {
			out = append(out, kind+":"+name)
		}
	}
	return out
}

// isNamed tells whether a word of CUDA_VISIBLE_DEVICES means a device: its number, or the
// beginning of its UUID.
func isNamed(d hardware.Device, name string) bool {
	name = strings.TrimSpace(name)
	return name == strconv.Itoa(d.Index) || len(name) > len("GPU-") && d.UUID != "" && strings.HasPrefix(d.UUID, name)
}

// nameOf is what a driver takes for a device. CUDA's own numbers depend on the order that it
// chooses, so it's named by its UUID where that's known; ROCm's don't.
func nameOf(kind string, d hardware.Device) string {
	if kind == hardware.KindCUDA && d.UUID != "" {
		return d.UUID
	}
	return strconv.Itoa(d.Index)
}

// gpuEnviron shows a worker its devices and no others.
func gpuEnviron(devices []string) []string {
	if len(devices) == 0 {
		return nil
	}
	var names, numbers []string
	kind := ""
	for i, d := range devices {
		var name string
		kind, name, _ = strings.Cut(d, ":")
		names, numbers = append(names, name), append(numbers, strconv.Itoa(i))
	}
	if kind == hardware.KindROCm { // HIP numbers what is left
		return []string{"ROCR_VISIBLE_DEVICES=" + strings.Join(names, ","), "HIP_VISIBLE_DEVICES=" + strings.Join(numbers, ",")}
	}
	return []string{"CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=" + strings.Join(names, ",")}
}

// instead puts variables in the place of those that have the same name: of two, many
// programs take the first.
func instead(env, with []string) []string {
	for _, kv := range with {
		key, _, _ := strings.Cut(kv, "=")
		env = slices.DeleteFunc(env, func(other string) bool { return strings.HasPrefix(other, key+"=") })
	}
	return append(env, with...)
}
