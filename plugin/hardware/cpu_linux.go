package hardware

import (
	"cmp"
	"context"
	"os"
	"runtime"
)

func detectCPU(context.Context) CPU {
	text, _ := os.ReadFile("/proc/cpuinfo") // none: what Go knows has to do
	c := parseCPUInfo(string(text))
	c.Usable = runtime.NumCPU()
	c.Threads, c.Cores = cmp.Or(c.Threads, c.Usable), cmp.Or(c.Cores, c.Usable)
	c.Model = cmp.Or(c.Model, runtime.GOARCH)
	text, _ = os.ReadFile("/proc/meminfo") // as above
	c.MemoryTotal, c.MemoryAvailable = parseMemInfo(string(text))
	return c
}
