package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/plugin/hardware"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func (p *program) hardwareCommand() *cobra.Command {
	var names []string
	cmd := p.command(&cobra.Command{
		Use:   "hardware [--select DEVICE,…]",
		Short: "Tell what this machine computes with",
		Long: `Tell what this machine computes with: its CPU and memory, and the accelerators that nvidia-smi, rocm-smi and rocminfo
list. It talks to no host.

With --select it tells the first device of a list that there is, and nothing else: auto (the first accelerator, or the
CPU), cpu, cuda, cuda:N, rocm, rocm:N or mps. The exit code is 1 when there is none of them.

With -o json: an object with platform, accelerator, identity (an object with id, platform, accelerator, cpu_features
and gpu_count; id is the same for machines that run the same builds), selected (empty without --select), cpu (model,
cores, threads, usable, features, memory_total_bytes, memory_available_bytes), cuda (null, or driver, version and devices), rocm (null,
or driver and devices), mps (null, or a device) and notes. A device has index, name, uuid, memory_total_bytes and memory_free_bytes.`,
		Example: `  snakepit hardware
  snakepit hardware --select cuda,mps,cpu
  snakepit hardware -o json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error { return p.hardware(ctx, names) })
	cmd.Flags().StringSliceVar(&names, "select", nil, "tell the first of these devices that there is: `DEVICE,…`")
	complete(cmd, "select", cobra.FixedCompletions([]string{"auto", "cpu", "cuda", "rocm", "mps"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// hardwareView is what -o json shows.
type hardwareView struct {
	Accelerator string           `json:"accelerator"`
	Identity    hardwareIdentity `json:"identity"`
	Selected    string           `json:"selected"`
	hardware.Hardware
}

type hardwareIdentity struct {
	ID string `json:"id"`
	hardware.Identity
}

func (p *program) hardware(ctx context.Context, names []string) error {
	if p.opts.host != "" {
		return usagef("--host names a live host, but hardware tells of this machine")
	}
	h, err := p.detect(ctx)
	if err != nil {
		return asCancelled(ctx, err)
	}
	selected := ""
	if len(names) > 0 {
		if selected, err = h.SelectWithFallback(names...); err != nil {
			return asNoDevice(err)
		}
	}
	switch {
	case p.json():
		id := h.Identity()
		h.CPU.Features, h.Notes = filled(h.CPU.Features), filled(h.Notes)
		return printJSON(p.stdout, hardwareView{h.Accelerator(), hardwareIdentity{id.String(), id}, selected, h})
	case selected != "":
		_, err := fmt.Fprintln(p.stdout, selected)
		return err
	}
	return printHardware(p.stdout, h)
}

func asNoDevice(err error) error {
	if errors.Is(err, hardware.ErrUnknown) {
		return &usageError{fmt.Errorf("--select: %w", err)}
	}
	e := errdefs.New(errdefs.InvalidConfig, "%v", err)
	e.Hint = "`snakepit hardware` lists what there is"
	return e
}

func printHardware(w io.Writer, h hardware.Hardware) error {
	c := h.CPU
	rows := [][]string{
		{"platform", h.Platform},
		{"identity", h.Identity().String()},
		{"accelerator", h.Accelerator()},
		{"cpu", c.Model},
		{"cores", fmt.Sprintf("%d, with %d threads, of which %d can be used", c.Cores, c.Threads, c.Usable)},
		{"features", strings.Join(c.Features, " ")},
		{"memory", memoryText(c.MemoryTotal, c.MemoryAvailable)},
	}
	if h.CUDA != nil {
		rows = append(rows, []string{"cuda", versionsText(h.CUDA.Version, h.CUDA.Driver)})
	}
	if h.ROCm != nil {
		rows = append(rows, []string{"rocm", versionsText("", h.ROCm.Driver)})
	}
	for _, kind := range []string{hardware.KindCUDA, hardware.KindROCm, hardware.KindMPS} {
		for _, d := range h.Devices(kind) {
			rows = append(rows, []string{kind + ":" + strconv.Itoa(d.Index), deviceText(d)})
		}
	}
	for _, note := range h.Notes {
		rows = append(rows, []string{"note", note})
	}
	return table(w, rows)
}

func memoryText(total, free uint64) string {
	if free == 0 {
		return bytesText(total)
	}
	return bytesText(total) + ", " + bytesText(free) + " free"
}

func versionsText(version, driver string) string {
	if driver == "" {
		return version
	}
	return strings.TrimSpace(version + " with driver " + driver)
}

func deviceText(d hardware.Device) string {
	parts := []string{d.Name}
	if d.MemoryTotal > 0 {
		parts = append(parts, memoryText(d.MemoryTotal, d.MemoryFree))
	}
	if d.UUID != "" {
		parts = append(parts, d.UUID)
	}
	return strings.Join(parts, ", ")
}
