//go:build !linux

package hardware

import (
	"cmp"
	"context"
	"runtime"
	"strconv"
	"strings"
)

// detectCPU asks sysctl, where there is one.
func detectCPU(ctx context.Context) CPU {
	c := CPU{Usable: runtime.NumCPU(), Model: cmp.Or(sysctl(ctx, "machdep.cpu.brand_string"), runtime.GOARCH)}
	c.Cores = int(cmp.Or(count(ctx, "hw.physicalcpu"), uint64(c.Usable)))  //nolint:gosec // a count of CPUs
	c.Threads = int(cmp.Or(count(ctx, "hw.logicalcpu"), uint64(c.Usable))) //nolint:gosec // as above
	c.MemoryTotal = count(ctx, "hw.memsize")
	flags := sysctl(ctx, "machdep.cpu.features") + " " + sysctl(ctx, "machdep.cpu.leaf7_features")
	if runtime.GOARCH == "arm64" {
		flags += " neon" // every one of them
	}
	c.Features = features(flags)
	return c
}

func sysctl(ctx context.Context, name string) string {
	if runtime.GOOS == "windows" {
		return ""
	}
	text, err := output(ctx, "sysctl", "-n", name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(text)
}

func count(ctx context.Context, name string) uint64 {
	n, err := strconv.ParseUint(sysctl(ctx, name), 10, 63)
	if err != nil {
		return 0
	}
	return n
}
