package hardware

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var (
	// ErrNotAvailable means that the machine has no such device.
	ErrNotAvailable = errors.New("device not available")
	// ErrUnknown means that the name is none that a device could have.
	ErrUnknown = errors.New("not a device's name")
)

// Select finds the device of a name, and gives it in full: "auto" is the first
// accelerator, or the CPU; "cuda", "rocm", "mps" and "cpu" are the first of their
// kind; "cuda:1" is that one. The result is what PyTorch calls it, but for "rocm:0",
// which is "cuda:0" there.
func (h Hardware) Select(name string) (string, error) {
	kind, number, numbered := strings.Cut(strings.ToLower(strings.TrimSpace(name)), ":")
	if kind == "auto" && !numbered {
		kind = h.Accelerator()
	}
	switch kind {
	case KindCPU, KindMPS:
		if numbered && number != "0" {
			return "", fmt.Errorf("%s: %w: there's one of it", name, ErrNotAvailable)
		}
		if kind == KindMPS && h.MPS == nil {
			return "", fmt.Errorf("%s: %w", name, ErrNotAvailable)
		}
		return kind, nil
	case KindCUDA, KindROCm:
		return h.find(name, kind, number, numbered)
	}
	return "", fmt.Errorf("%q: %w: auto, cpu, cuda, cuda:N, rocm, rocm:N or mps", name, ErrUnknown)
}

func (h Hardware) find(name, kind, number string, numbered bool) (string, error) {
	devices := h.Devices(kind)
	if !numbered && len(devices) > 0 {
		return kind + ":" + strconv.Itoa(devices[0].Index), nil
	}
	index, err := strconv.Atoi(number)
	if numbered && (err != nil || index < 0) {
		return "", fmt.Errorf("%q: %w: %s:N has a number", name, ErrUnknown, kind)
	}
	for _, d := range devices {
		if d.Index == index {
			return kind + ":" + strconv.Itoa(index), nil
		}
	}
	return "", fmt.Errorf("%s: %w: there are %d devices of %s", name, ErrNotAvailable, len(devices), kind)
}

// SelectWithFallback finds the first device of a list that there is. A name that
// isn't one fails, wherever it stands: it's a mistake, not a device that is missing.
func (h Hardware) SelectWithFallback(names ...string) (string, error) {
	chosen := ""
	for _, name := range names {
		device, err := h.Select(name)
		if errors.Is(err, ErrUnknown) {
			return "", err
		}
		if err == nil && chosen == "" {
			chosen = device
		}
	}
	if chosen == "" {
		return "", fmt.Errorf("none of %s: %w", strings.Join(names, ", "), ErrNotAvailable)
	}
	return chosen, nil
}
