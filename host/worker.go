package host

import (
	"context"
	"time"
)

// WorkerID names a worker; it's never used twice.
type WorkerID string

// SessionID names a session.
type SessionID string

// Spec says which worker to launch. It's data: whatever starts processes turns it
// into one.
type Spec struct {
	Pool     string
	Worker   WorkerID
	Command  Command
	Settings WorkerSettings
	Timeout  time.Duration // from launch until the worker has described itself; zero: a minute
	// Generation is how often the pool had been reloaded. What has imported the adapter
	// for an earlier generation has old code: a worker isn't forked from it.
	Generation uint64
}

// Command is how an adapter's worker is started.
type Command struct {
	Path string   // the executable
	Args []string // without the executable
	Env  []string // KEY=value, added to the allow-listed environment of the host
	Dir  string   // the working directory; empty: a folder of the worker's own
	// Adapter is what the command serves, as the operator wrote it, for status and errors.
	Adapter string
	// Sources are the files and folders that the worker's code comes from, for those who
	// watch them; the same command with others is the same command.
	Sources []string
	// Hints explain what a worker that can't start leaves on its standard error.
	Hints []Hint
}

// Hint says what to do about a failed start.
type Hint struct {
	Match string // a part of a line of standard error, or of the error of the start itself
	Hint  string
}

// WorkerSettings are what a pool wants of its workers.
type WorkerSettings struct {
	StrictResults bool          // results that can't be encoded are errors, not markers
	MaxPayload    int64         // the largest message in either direction, in bytes; zero: 256 MiB
	Carrier       string        // "local", "grpc", or empty for the best there is
	StopTimeout   time.Duration // how long a polite stop may take before SIGKILL; zero: 2 s
	Slots         int           // calls that a worker runs at once; zero: what its adapter says
	Fork          bool          // workers are forked from a process that has imported the adapter already
	Threads       int           // of numeric libraries (BLAS and OpenMP) in a worker; zero: 1; negative: as they like
	GPUs          int           // devices that a worker has for itself; zero: none is assigned, all are visible
	Limits        Limits
}

// Limits are what the system holds a worker's process to. Zero values: no limit of ours.
type Limits struct {
	Memory    int64   // bytes: of its cgroup where that's delegated, else of each process's private writable memory
	OpenFiles int     // descriptors
	Processes int     // of its cgroup where that's delegated, else of its user
	CPU       float64 // CPUs' worth of time, where a cgroup is delegated
}

// Launcher starts workers.
type Launcher interface {
	// Launch starts a worker and returns it once it can take calls. It blocks
	// until then; ctx bounds the start alone, and the worker outlives it. serve
	// answers the worker's calls to the host, from any number of goroutines.
	//
	// On error no process is left. An adapter that can't start gives start_failed
	// with the exception or the exit at once, not at the timeout; a disk that has no
	// room for the worker's record gives disk_full.
	Launch(ctx context.Context, spec Spec, serve ToolServer) (Worker, error)
}

// Worker is one live worker.
type Worker interface {
	// Description is what the worker offers. It never changes.
	Description() Description
	// Start hands a call to the worker and returns without waiting for it. An
	// error means that the call never reached the worker. ctx bounds the handing
	// over alone; [Running.Cancel] ends the call.
	Start(ctx context.Context, inv Invocation) (Running, error)
	// Done is closed when the worker takes no calls any more and its process is
	// gone and reaped.
	Done() <-chan struct{}
	// Err says why, after Done is closed: nil after Stop, else worker_crashed with
	// the exit and the last lines of standard error.
	Err() error
	// Stop ends the worker: politely, then with SIGTERM and SIGKILL to its whole
	// group. It returns when the process is reaped, or when ctx is done, with the
	// kill still under way; it may be called any number of times, at any time.
	Stop(ctx context.Context) error
}

// A Killer is a worker that can be ended at once, without the polite part of
// Stop. The engine looks for it where a tool doesn't answer to a cancel.
type Killer interface {
	// Kill sends SIGKILL to the worker's group and returns without waiting for Done.
	Kill(cause error)
}

// A Leaver is a worker that can go on without its host.
type Leaver interface {
	// Leave lets go of the worker: its lane ends, its process goes on, and waits for
	// another host to reattach. Calls under way end as if the host had died. It
	// returns once Done is closed; Err is nil then.
	Leave()
}

// A Pinner is a worker that is frozen at the end of its host's lease while it's pinned,
// as it is while it runs a session's call: strict sessions pin their home.
type Pinner interface {
	// Pin reports whether the lease holds; each true needs an Unpin. It doesn't block.
	Pin() bool
	// Unpin takes back one Pin.
	Unpin()
}

// A Reattacher is a launcher that finds the workers of an earlier host. The engine
// looks for it before it launches any.
type Reattacher interface {
	// Survivors are the workers that an earlier host left running, by id. Each is
	// given back once, to Reattach or to Forsake.
	Survivors() []Survivor
	// Reattach goes on with a survivor, whose id is the spec's. Like Launch it blocks
	// until the worker can take calls. A worker that can't be verified, doesn't
	// answer, or was started by another command than the spec's gives an error, and
	// is ended if it's verifiably ours.
	Reattach(ctx context.Context, spec Spec, serve ToolServer) (Worker, error)
	// Forsake ends a survivor that nobody wants, without waiting.
	Forsake(id WorkerID)
}

// Survivor is a worker that outlived its host.
type Survivor struct {
	Worker WorkerID
	Pool   string
	Frozen bool // the last lease ended while it ran a session's call, or was pinned by one
}

// Running is one call on a worker. Recv is called by one goroutine at a time, and
// so are Send and CloseSend together.
type Running interface {
	// Recv blocks until the next message: chunks, then the result with Last set.
	// An error ends the call as well. After a cancel it returns at once, with the
	// cancel's cause.
	Recv(ctx context.Context) (Message, error)
	// Send hands one chunk to a tool that takes them. It blocks while the tool
	// doesn't read.
	Send(ctx context.Context, payload []byte) error
	// CloseSend ends the chunks.
	CloseSend() error
	// Cancel asks the worker to stop the call and frees the caller at once. The
	// cause's reason goes along. Later calls do nothing.
	Cancel(cause error)
	// Done is closed when the worker has answered, cancelled or not, or is gone:
	// then the slot is free. It's closed before Recv gives the result.
	Done() <-chan struct{}
}

// Message is what a running call gives.
type Message struct {
	Payload  []byte
	Last     bool      // the result; no further message follows
	Progress *Progress // set: a progress report, with no payload
}

// Progress is how far a call has come.
type Progress struct {
	Done, Total float64 // in the tool's own unit; Total 0: unknown
	Message     string
}

// Invocation is one call, as it goes to a worker or comes from one.
type Invocation struct {
	ID       string // the call's id, for logs and errors; from a worker: the id of the call during which this one was made
	Tool     string
	Payload  []byte // the arguments: a msgpack map (proto/values)
	Session  SessionID
	Epoch    uint64    // of the session: a worker refuses one below the highest that it has seen of it; zero: none
	Away     bool      // the worker isn't the session's home
	Local    bool      // it goes on without a lease: the session never leaves its node
	Deadline time.Time // zero: none
	Stream   bool      // the caller takes chunks
	Input    bool      // the caller sends chunks
	Metadata map[string]string
}

// Description is what a worker offers.
type Description struct {
	Adapter      string
	Tools        []Tool // sorted by name
	SDK          string // the version of its SDK
	Runtime      string // "cpython 3.11.7"
	Slots        int    // calls that it runs at once; at least 1
	Capabilities []string
	Process      Process
	StartedAt    time.Time // for people; nothing is decided by it
}

// Process is one process as the kernel knows it. Both fields together name it:
// pids are used again.
type Process struct {
	PID       int
	StartTime uint64 // clock ticks since boot, field 22 of /proc/PID/stat; zero where the system has none
}

// Tool is a function that can be called by name.
type Tool struct {
	Name         string // 1 to 64 bytes of [A-Za-z0-9][A-Za-z0-9_.-]*
	Description  string
	InputSchema  string // JSON Schema, an object with a property for each argument
	OutputSchema string // JSON Schema of the result or of each chunk; empty: unknown
	Stream       bool   // it yields chunks
	InputStream  string // the parameter that takes the caller's chunks; empty: none does
	Idempotent   bool   // it may be run again after it may have run already
	Cancel       string // "interrupt", "cooperative" or "kill"
}

// ToolServer answers the calls that workers make to the host.
type ToolServer interface {
	// ServeTool runs a host tool and returns its result, a msgpack value. ctx ends
	// with the call's deadline, its cancel, or the worker.
	ServeTool(ctx context.Context, from WorkerID, inv Invocation) ([]byte, error)
}
