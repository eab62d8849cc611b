package hardware

import (
	"slices"
	"strconv"
	"strings"
)

// featureNames are what libraries are built for, by the names that systems have for
// it: Linux's on both architectures, and macOS's.
func featureNames() map[string]string {
	return map[string]string{
		"sse4_1": "sse4_1", "sse4.1": "sse4_1", "sse4_2": "sse4_2", "sse4.2": "sse4_2",
		"avx": "avx", "avx1.0": "avx", "avx2": "avx2", "fma": "fma", "f16c": "f16c",
		"avx512f": "avx512f", "avx512bw": "avx512bw", "avx512dq": "avx512dq", "avx512vl": "avx512vl", "avx512cd": "avx512cd",
		"avx512_vnni": "avx512_vnni", "avx512_bf16": "avx512_bf16", "avx_vnni": "avx_vnni",
		"amx_tile": "amx_tile", "amx_int8": "amx_int8", "amx_bf16": "amx_bf16",
		"asimd": "neon", "neon": "neon", "asimdhp": "fp16", "asimddp": "dotprod", "sve": "sve", "sve2": "sve2", "bf16": "bf16", "i8mm": "i8mm",
	}
}

// features are those of a list of flags that we have a name for, sorted.
func features(flags string) []string {
	names, out := featureNames(), []string{}
	for flag := range strings.FieldsSeq(strings.ToLower(flags)) {
		if name, ok := names[flag]; ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// parseCPUInfo reads Linux's /proc/cpuinfo. A machine that tells nothing about its
// cores has as many as it has threads.
func parseCPUInfo(text string) CPU {
	var c CPU
	cores := map[string]bool{}
	socket, flags := "", ""
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "processor":
			c.Threads++
			socket = ""
		case "model name", "Model", "Processor":
			c.Model = value
		case "physical id":
			socket = value
		case "core id":
			cores[socket+"/"+value] = true
		case "flags", "Features":
			flags = value
		}
	}
	c.Cores, c.Features = len(cores), features(flags)
	if c.Cores == 0 {
		c.Cores = c.Threads
	}
	return c
}

// parseMemInfo reads Linux's /proc/meminfo.
func parseMemInfo(text string) (total, available uint64) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, err := strconv.ParseUint(fields[1], 10, 50)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			available = n << 10
		}
	}
	return total, available
}
