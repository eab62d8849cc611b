package errdefs

import (
	"errors"

	"google.golang.org/grpc/codes"
)

// Reason is what happened, in one lower-case word, as it stands on the wire.
type Reason string

// The reasons. README and docs say when each occurs.
const (
	QueueTimeout             Reason = "queue_timeout"
	QueueFull                Reason = "queue_full"
	WorkerBusy               Reason = "worker_busy"
	SessionQuota             Reason = "session_quota"
	RateLimited              Reason = "rate_limited"
	DiskFull                 Reason = "disk_full"
	PoolNotFound             Reason = "pool_not_found"
	ToolNotFound             Reason = "tool_not_found"
	SessionNotFound          Reason = "session_not_found"
	SessionExpired           Reason = "session_expired"
	SessionLost              Reason = "session_lost"
	WorkerNotFound           Reason = "worker_not_found"
	Exists                   Reason = "exists"
	Conflict                 Reason = "conflict"
	CallCycle                Reason = "call_cycle"
	SessionWorkerUnavailable Reason = "session_worker_unavailable"
	SessionMoved             Reason = "session_moved"
	NoWorkers                Reason = "no_workers"
	PoolStarting             Reason = "pool_starting"
	Draining                 Reason = "draining"
	StartFailed              Reason = "start_failed"
	WorkerCrashed            Reason = "worker_crashed"
	WorkerHung               Reason = "worker_hung"
	CircuitOpen              Reason = "circuit_open"
	NoQuorum                 Reason = "no_quorum"
	OutcomeUnknown           Reason = "outcome_unknown"
	HostUnreachable          Reason = "host_unreachable"
	InvalidArguments         Reason = "invalid_arguments"
	InvalidToolName          Reason = "invalid_tool_name"
	InvalidConfig            Reason = "invalid_config"
	InvalidResult            Reason = "invalid_result"
	PayloadTooLarge          Reason = "payload_too_large"
	VersionMismatch          Reason = "version_mismatch"
	WrongCluster             Reason = "wrong_cluster"
	Protocol                 Reason = "protocol"
	PythonException          Reason = "python_exception"
	NotLeader                Reason = "not_leader"
	Fenced                   Reason = "fenced"
	NodeRemoved              Reason = "node_removed"
	Unauthenticated          Reason = "unauthenticated"
	PermissionDenied         Reason = "permission_denied"
	Unimplemented            Reason = "unimplemented"
	Deadline                 Reason = "deadline"
	Cancelled                Reason = "cancelled"
	Internal                 Reason = "internal"
)

type row struct {
	reason Reason
	class  error
	code   codes.Code
}

// table has one row a reason; class and code follow from the reason. For a class
// without a reason its first row counts.
func table() []row {
	rows := []row{}
	add := func(class error, code codes.Code, reasons ...Reason) {
		for _, r := range reasons {
			rows = append(rows, row{r, class, code})
		}
	}
	add(ErrExhausted, codes.ResourceExhausted, QueueTimeout, QueueFull, WorkerBusy, SessionQuota, RateLimited, DiskFull)
	add(ErrNotFound, codes.NotFound, PoolNotFound, ToolNotFound, SessionNotFound, SessionExpired, SessionLost, WorkerNotFound)
	add(ErrExists, codes.AlreadyExists, Exists)
	add(ErrConflict, codes.FailedPrecondition, Conflict, CallCycle)
	add(ErrUnavailable, codes.Unavailable, SessionWorkerUnavailable, SessionMoved, NoWorkers, PoolStarting, Draining,
		StartFailed, WorkerCrashed, WorkerHung, CircuitOpen, NoQuorum, OutcomeUnknown, HostUnreachable)
	add(ErrInvalid, codes.InvalidArgument, InvalidArguments, InvalidToolName, InvalidConfig, InvalidResult,
		PayloadTooLarge, VersionMismatch, WrongCluster, Protocol)
	add(ErrToolFailed, codes.Unknown, PythonException)
	add(ErrNotLeader, codes.Unavailable, NotLeader)
	add(ErrFenced, codes.FailedPrecondition, Fenced, NodeRemoved)
	add(ErrDenied, codes.Unauthenticated, Unauthenticated)
	add(ErrDenied, codes.PermissionDenied, PermissionDenied)
	add(ErrUnimplemented, codes.Unimplemented, Unimplemented)
	add(deadlineClass(), codes.DeadlineExceeded, Deadline)
	add(cancelledClass(), codes.Canceled, Cancelled)
	add(ErrInternal, codes.Internal, Internal)
	return rows
}

// Reasons lists every reason there is, in the order of the table.
func Reasons() []Reason {
	var all []Reason
	for _, t := range table() {
		all = append(all, t.reason)
	}
	return all
}

func rowOf(r Reason) (row, bool) {
	for _, t := range table() {
		if t.reason == r {
			return t, true
		}
	}
	return row{}, false
}

// ReasonOf is err's reason: that of the first *[Error] in its chain, else
// deadline or cancelled for the errors of package context, else empty.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	switch {
	case errors.Is(err, deadlineClass()):
		return Deadline
	case errors.Is(err, cancelledClass()):
		return Cancelled
	}
	return ""
}

// MayHaveRun reports whether the call that err is about may have run.
func MayHaveRun(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.MayHaveRun
}
