package shim

// Limits are what the system is to hold a worker to. Zero values: no limit of ours.
type Limits struct {
	Memory    int64   `json:"memory,omitempty"`     // bytes
	OpenFiles int     `json:"open_files,omitempty"` // descriptors
	Processes int     `json:"processes,omitempty"`  // and threads
	CPU       float64 `json:"cpu,omitempty"`        // CPUs' worth of time
}

// Limit is what has become of one that was asked for.
type Limit struct {
	What string `json:"what"`          // "memory", "open_files", "processes", "cpu"
	By   string `json:"by,omitempty"`  // "cgroup" or "rlimit"; empty: nobody holds the worker to it
	Why  string `json:"why,omitempty"` // nobody does
}

// What a limit is of.
const (
	LimitMemory    = "memory"
	LimitOpenFiles = "open_files"
	LimitProcesses = "processes"
	LimitCPU       = "cpu"
)

// Who holds a worker to one.
const (
	ByCgroup = "cgroup"
	ByRlimit = "rlimit"
)
