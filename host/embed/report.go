package embed

// State is how a folder of a host stands.
type State string

// The states.
const (
	// Live is that of a folder which a host has, or another cleanup. It isn't touched.
	Live State = "live"
	// Waiting is that of a folder whose host is dead, and whose workers guard and shim
	// keep for the rest of orphan_grace, for the next host. It isn't touched.
	Waiting State = "waiting"
	// Abandoned is that of a folder which is nobody's any more.
	Abandoned State = "abandoned"
)

// Report is what a [Cleanup] found, and did about it.
type Report struct {
	DryRun  bool     `json:"dry_run"` // nothing was done
	Folders []Folder `json:"folders"`
	Cgroups []Cgroup `json:"cgroups"`
}

// Cgroup is one whose guard is gone. It's removed, once nothing is in it.
type Cgroup struct {
	Path      string    `json:"path"`
	Processes []Process `json:"processes"` // those found by it alone: they carry no token
}

// Folder is a data directory with its run folder, or the run folder of a private host.
type Folder struct {
	State     State     `json:"state"`
	DataDir   string    `json:"data_dir"` // empty: a private host's
	RunDir    string    `json:"run_dir"`  // empty: it's gone, after a restart of the machine, say
	HostPID   int       `json:"host_pid"` // of whoever has it, where the state is live; zero: unknown
	Note      string    `json:"note"`
	Processes []Process `json:"processes"`
	Removed   []string  `json:"removed"` // sockets, folders and files
	Records   []string  `json:"records"` // the workers whose rows in the ledger were stale
}

// nothing reports whether there's nothing to tell of an abandoned folder.
func (f *Folder) nothing() bool {
	return f.State == Abandoned && f.Note == "" && len(f.Processes)+len(f.Removed)+len(f.Records) == 0
}

// Outcome is what became of a process.
type Outcome string

// The outcomes.
const (
	Ended    Outcome = "ended"
	WouldEnd Outcome = "would_end" // without DryRun
	Kept     Outcome = "kept"      // it waits for the next host
	Stuck    Outcome = "stuck"     // it couldn't be ended
)

func outcomeOf(dryRun, alive bool) Outcome {
	switch {
	case dryRun:
		return WouldEnd
	case alive:
		return Stuck
	default:
		return Ended
	}
}

// Process is a process that a dead host left behind, found by its token, its record or
// its cgroup.
type Process struct {
	PID     int     `json:"pid"`
	Command string  `json:"command"`
	Token   string  `json:"token"` // the last 8 digits of its worker's; empty: it was found by its cgroup
	Outcome Outcome `json:"outcome"`
}

// LeftBehind reports whether anything was found that no host has and none will take.
func (r Report) LeftBehind() bool {
	for _, f := range r.Folders {
		if f.State == Abandoned {
			return true
		}
	}
	return len(r.Cgroups) > 0
}

// Stuck are the processes that couldn't be ended.
func (r Report) Stuck() []Process {
	var stuck []Process
	for _, p := range r.Processes() {
		if p.Outcome == Stuck {
			stuck = append(stuck, p)
		}
	}
	return stuck
}

// Processes are all that were found.
func (r Report) Processes() []Process {
	var all []Process
	for _, f := range r.Folders {
		all = append(all, f.Processes...)
	}
	for _, g := range r.Cgroups {
		all = append(all, g.Processes...)
	}
	return all
}
