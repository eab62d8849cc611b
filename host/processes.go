package host

import (
	"context"
	"unicode/utf8"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// A ProcessRegistry is a [Registry] that also records the processes of workers,
// so that the record outlives the host: whoever comes after it knows what there
// may be to adopt or to end. The engine looks for it and tells it of each worker
// that enters service or is gone, off the path of any call.
// hosttest.TestProcessRegistry is its contract as a test.
type ProcessRegistry interface {
	// ClaimProcess records a worker's process, in place of the worker's former
	// record if there is one, and returns the record with its epoch, which is
	// higher than any before. It blocks until the record is as durable as the
	// registry makes it. Errors: no_quorum; queue_full when there are too many
	// records; invalid_arguments for a worker that isn't 1 to 256 bytes of UTF-8,
	// or other texts that are longer.
	ClaimProcess(ctx context.Context, p ProcessRecord) (ProcessRecord, error)
	// ReleaseProcess forgets a worker's process. One that isn't there is no error.
	ReleaseProcess(ctx context.Context, worker WorkerID) error
	// Processes returns all records, sorted by worker.
	Processes(ctx context.Context) ([]ProcessRecord, error)
}

// ProcessRecord says which process a worker is, and where.
type ProcessRecord struct {
	Worker  WorkerID
	Pool    string
	Node    string // the host that owns it
	Epoch   uint64 // grows with each claim
	Process Process
	Machine MachineID // where Process means something
	// Owner is which start of which node claimed it, as the registry has it: it sees to
	// that itself. Zero where there's only one node.
	Owner Owner
	// Unverified says that this start isn't there any more, and that nobody has said
	// since what became of the process. Only a registry says it.
	Unverified bool
}

// MachineID names one boot of one machine, and the pid namespace in it. A pid
// means something only to those for whom all three are equal. An empty field is
// not known, and equals nothing.
type MachineID struct {
	Machine      string // such as /etc/machine-id has it
	Boot         string // such as /proc/sys/kernel/random/boot_id has it
	PIDNamespace string // such as /proc/self/ns/pid links to: "pid:[4026531836]"
}

// Same reports whether a pid seen at m means the same at other.
func (m MachineID) Same(other MachineID) bool {
	return m == other && m.Machine != "" && m.Boot != "" && m.PIDNamespace != ""
}

// Validate reports what a registry doesn't take, as invalid_arguments.
func (p ProcessRecord) Validate() error {
	if err := names.CheckID("worker", string(p.Worker)); err != nil {
		return err
	}
	for _, s := range []string{p.Pool, p.Node, p.Machine.Machine, p.Machine.Boot, p.Machine.PIDNamespace} {
		if len(s) > names.MaxID || !utf8.ValidString(s) {
			return errdefs.New(errdefs.InvalidArguments, "the record of worker %q has a text of %d bytes, which isn't at most %d bytes of UTF-8",
				names.Cut(string(p.Worker)), len(s), names.MaxID)
		}
	}
	return nil
}
