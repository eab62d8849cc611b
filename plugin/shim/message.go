package shim

import "time"

// maxID bounds a worker's id.
const maxID = 256

// hello is what a host says first.
type hello struct {
	Version  int    `json:"version"`
	Instance string `json:"instance"` // whose workers it wants
	PID      int    `json:"pid"`
	// Heir says that it's another host, and takes over from that one, which is dead.
	Heir bool `json:"heir,omitempty"`
	Settings
}

// Settings are what the host wants of its shim; they hold until the next host's.
type Settings struct {
	// Grace is how long the workers live on after their host's death; zero: not at all.
	Grace time.Duration `json:"grace"`
	// StopAfter is how long a frozen worker is kept; zero: it's killed instead of frozen.
	StopAfter time.Duration `json:"stop_after"`
	// LogBytes is when a worker's file of standard error is put aside for a new one.
	// One older file is kept. Zero: 4 MiB.
	LogBytes int64 `json:"log_bytes"`
	// Cgroups asks for a cgroup per worker where a cgroup v2 folder can be written.
	Cgroups bool `json:"cgroups"`
	// Deadline is when the host's lease ends, in nanoseconds of CLOCK_BOOTTIME; zero: never.
	Deadline int64 `json:"deadline,omitempty"`
}

// welcome answers a hello. Its frame carries the descriptor of the page of marks,
// and then a pidfd for each worker.
type welcome struct {
	Version  int        `json:"version"`
	PID      int        `json:"pid"`
	Error    string     `json:"error,omitempty"`
	Attached int        `json:"attached,omitempty"` // the host that has the shim, when that is the error; or unseen
	Heir     bool       `json:"heir,omitempty"`     // an heir has the shim: who is welcome, or who else has it; then Workers are those it has, without pidfds
	Workers  []survivor `json:"workers,omitempty"`
	Cgroups  bool       `json:"cgroups,omitempty"`
	More     bool       `json:"more,omitempty"` // another frame with workers follows
	// Guard is the guard's pid, as the PID namespace around it numbers it, and
	// GuardStart its start time: whoever outlives the shim sees to it that it's awake.
	Guard      int    `json:"guard,omitempty"`
	GuardStart uint64 `json:"guard_start,omitempty"`
}

// unseen stands for the pid of a host that the shim's PID namespace doesn't show.
const unseen = -1

// survivor is a worker that the shim keeps.
type survivor struct {
	Worker string `json:"worker"`
	Token  string `json:"token"`
	Slot   int    `json:"slot"` // in the page of marks
	Frozen bool   `json:"frozen,omitempty"`
	Note   string `json:"note,omitempty"`

	Stopped bool `json:"stopped,omitempty"` // by a signal that isn't ours
}

// The operations of a request.
const (
	opSpawn  = "spawn"
	opSignal = "signal" // to the worker's group
	opKill   = "kill"   // the worker and all that descends from it
	opNote   = "note"   // remember something about a worker for the next host
	opLease  = "lease"
	opDetach = "detach" // the host goes without its workers
	opEnd    = "end"    // kill everything and end
)

// request is what a host asks for. A request without an id gets no reply.
type request struct {
	ID       uint64        `json:"id,omitempty"`
	Op       string        `json:"op"`
	Worker   string        `json:"worker,omitempty"`
	Signal   int           `json:"signal,omitempty"`
	Spawn    *order        `json:"spawn,omitempty"`
	Deadline int64         `json:"deadline,omitempty"` // of the lease, in nanoseconds of CLOCK_BOOTTIME; zero: never
	Grace    time.Duration `json:"grace,omitempty"`
	Note     string        `json:"note,omitempty"`
}

// maxNote bounds what is remembered about a worker.
const maxNote = 16 << 10

// Spawn is a process to start.
type Spawn struct {
	Worker string
	Token  string // what SNAKEPIT_WORKER_TOKEN is in Env
	Path   string
	Args   []string // with the name it's executed under
	Env    []string
	Dir    string
	Log    string // the file for standard error; empty: none
	// Forks makes it a forkserver: descriptor 3 is its end of a socket, over which the
	// shim asks it for workers.
	Forks bool
	// From names the forkserver, a worker of this shim, that is to fork it. Path
	// and Args mean nothing then. A shim that knows of none executes them.
	From   string
	Limits Limits
}

// order is a Spawn on the wire. What the system takes as bytes needn't be UTF-8.
type order struct {
	Worker string   `json:"worker"`
	Token  string   `json:"token"`
	Path   []byte   `json:"path"`
	Args   [][]byte `json:"args"`
	Env    [][]byte `json:"env"`
	Dir    []byte   `json:"dir"`
	Log    []byte   `json:"log,omitempty"`
	Forks  bool     `json:"forks,omitempty"`
	From   string   `json:"from,omitempty"`
	Limits *Limits  `json:"limits,omitempty"`
}

func newOrder(s Spawn) *order {
	o := &order{
		Worker: s.Worker, Token: s.Token, Path: []byte(s.Path), Args: toBytes(s.Args), Env: toBytes(s.Env),
		Dir: []byte(s.Dir), Log: []byte(s.Log), Forks: s.Forks, From: s.From,
	}
	if s.Limits != (Limits{}) {
		o.Limits = &s.Limits
	}
	return o
}

func (o *order) spawn() Spawn {
	s := Spawn{
		Worker: o.Worker, Token: o.Token, Path: string(o.Path), Args: toStrings(o.Args), Env: toStrings(o.Env),
		Dir: string(o.Dir), Log: string(o.Log), Forks: o.Forks, From: o.From,
	}
	if o.Limits != nil {
		s.Limits = *o.Limits
	}
	return s
}

func toBytes(in []string) [][]byte {
	out := make([][]byte, len(in))
	for i, s := range in {
		out[i] = []byte(s)
	}
	return out
}

func toStrings(in [][]byte) []string {
	out := make([]string, len(in))
	for i, b := range in {
		out[i] = string(b)
	}
	return out
}

// reply answers a request. That to a spawn carries a pidfd.
type reply struct {
	ID    uint64 `json:"id"`
	Error string `json:"error,omitempty"`
	Errno int    `json:"errno,omitempty"` // of Error, where the system gave one
	Slot  int    `json:"slot,omitempty"`
	// Limits are what has become of those of a spawn; a shim that knows of none leaves it out.
	Limits []Limit `json:"limits,omitempty"`
}

// The events of a worker.
const (
	eventExit      = "exit"
	eventStopped   = "stopped" // by a signal that isn't ours
	eventContinued = "continued"
	eventFrozen    = "frozen" // by the end of the lease
	eventThawed    = "thawed"
)

// event is what happened to a worker. Nothing follows its exit.
type event struct {
	Event  string `json:"event"`
	Worker string `json:"worker"`
	Status uint32 `json:"status,omitempty"` // of wait4
	OOM    bool   `json:"oom,omitempty"`    // killed while the system was out of memory
	Left   int    `json:"left,omitempty"`   // processes that it left behind and that were killed
	Over   string `json:"over,omitempty"`   // the limit for which the kernel killed it: "memory"
}

// Exit is how a worker ended.
type Exit struct {
	Status uint32 // of wait4
	OOM    bool   // killed while the system was out of memory
	Left   int    // processes that it left behind, and that were killed
	Over   string // the limit for which the kernel killed it; empty: none
	Lost   bool   // the shim died, and the worker with it: the status is unknown
}
