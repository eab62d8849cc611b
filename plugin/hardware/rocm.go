package hardware

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// detectROCm asks rocm-smi, and where that's missing rocminfo.
func detectROCm(ctx context.Context) (*ROCm, string) {
	text, err := output(ctx, "rocm-smi", "--showproductname", "--showuniqueid", "--showmeminfo", "vram", "--showdriverversion", "--json")
	if errors.Is(err, errMissing) {
		return detectByROCmInfo(ctx)
	}
	if err != nil {
		return nil, "rocm-smi: " + err.Error() + " " + firstLine(text)
	}
	r, err := parseROCm(text)
	switch {
	case err != nil:
		return nil, "rocm-smi: " + err.Error()
	case len(r.Devices) == 0:
		return nil, "rocm-smi lists no devices"
	}
	return r, ""
}

// parseROCm reads rocm-smi's JSON: an object for each card, and one for the system.
// The names of the fields have changed between versions, by case and by word.
func parseROCm(text string) (*ROCm, error) {
	begin := strings.IndexByte(text, '{') // warnings come before it
	if begin < 0 {
		return nil, errors.New("what it printed isn't JSON")
	}
	var all map[string]map[string]any
	if err := json.NewDecoder(strings.NewReader(text[begin:])).Decode(&all); err != nil {
		return nil, errors.New("what it printed isn't JSON")
	}
	r := &ROCm{}
	for name, fields := range all {
		if name == "system" {
			r.Driver = field(fields, "driver version")
		}
		index, err := strconv.Atoi(strings.TrimPrefix(name, "card"))
		if err != nil {
			continue
		}
		total, used := number(fields, "vram total memory (b)"), number(fields, "vram total used memory (b)")
		r.Devices = append(r.Devices, Device{
			Index: index, Name: cmp.Or(field(fields, "card series"), field(fields, "device name"), field(fields, "card model")),
			UUID: field(fields, "unique id"), MemoryTotal: total, MemoryFree: total - min(used, total),
		})
	}
	slices.SortFunc(r.Devices, func(a, b Device) int { return cmp.Compare(a.Index, b.Index) })
	return r, nil
}

func field(fields map[string]any, name string) string {
	for key, v := range fields {
		if text, ok := v.(string); ok && strings.EqualFold(key, name) && text != "N/A" {
			return strings.TrimSpace(text)
		}
	}
	return ""
}

func number(fields map[string]any, name string) uint64 {
	n, err := strconv.ParseUint(field(fields, name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func detectByROCmInfo(ctx context.Context) (*ROCm, string) {
	text, err := output(ctx, "rocminfo")
	if errors.Is(err, errMissing) {
		return nil, ""
	}
	if err != nil {
		return nil, "rocminfo: " + err.Error() + " " + firstLine(text)
	}
	r := parseROCmInfo(text)
	if len(r.Devices) == 0 {
		return nil, "rocminfo lists no devices"
	}
	return r, ""
}

// parseROCmInfo reads rocminfo's blocks, of which those of CPUs are left out. A GPU's
// memory is the largest of its global pools.
func parseROCmInfo(text string) *ROCm {
	r := &ROCm{}
	for _, block := range strings.Split(text, "\nAgent ")[1:] {
		d, gpu, global := Device{Index: len(r.Devices)}, false, false
		for line := range strings.Lines(block) {
			key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
			if value = strings.TrimSpace(value); !ok {
				continue
			}
			switch strings.TrimSpace(key) {
			case "Marketing Name":
				d.Name = value
			case "Uuid":
				d.UUID = value
			case "Device Type":
				gpu = value == "GPU"
			case "Segment":
				global = strings.HasPrefix(value, "GLOBAL")
			case "Size":
				if global {
					d.MemoryTotal = max(d.MemoryTotal, kibibytes(value))
				}
			}
		}
		if gpu {
			r.Devices = append(r.Devices, d)
		}
	}
	return r
}

// kibibytes reads "67092480(0x3ffc000) KB".
func kibibytes(text string) uint64 {
	digits, _, _ := strings.Cut(text, "(")
	n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 50)
	if err != nil {
		return 0
	}
	return n << 10
}
