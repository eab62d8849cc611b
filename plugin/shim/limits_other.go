//go:build !linux

package shim

// ApplyLimits holds nobody to anything on this system.
func ApplyLimits(_ int, l Limits) []Limit { return l.unmet("it isn't possible on this system") }

// unmet are all limits that were asked for, held by nobody.
func (l Limits) unmet(why string) []Limit {
	var out []Limit
	for what, asked := range map[string]bool{
		LimitMemory: l.Memory > 0, LimitOpenFiles: l.OpenFiles > 0, LimitProcesses: l.Processes > 0, LimitCPU: l.CPU > 0,
	} {
		if asked {
			out = append(out, Limit{What: what, Why: why})
		}
	}
	return out
}
