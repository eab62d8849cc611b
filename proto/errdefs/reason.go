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

// classify is the table: code and class follow from the reason. It's a switch
// since each error that crosses a lane asks it several times.
func classify(r Reason) (code codes.Code, class error) {
	switch r {
	case QueueTimeout, QueueFull, WorkerBusy, SessionQuota, RateLimited, DiskFull:
		return codes.ResourceExhausted, ErrExhausted
	case PoolNotFound, ToolNotFound, SessionNotFound, SessionExpired, SessionLost, WorkerNotFound:
		return codes.NotFound, ErrNotFound
	case Exists:
		return codes.AlreadyExists, ErrExists
	case Conflict, CallCycle:
		return codes.FailedPrecondition, ErrConflict
	case SessionWorkerUnavailable, SessionMoved, NoWorkers, PoolStarting, Draining, StartFailed,
		WorkerCrashed, WorkerHung, CircuitOpen, NoQuorum, OutcomeUnknown, HostUnreachable:
		return codes.Unavailable, ErrUnavailable
	case InvalidArguments, InvalidToolName, InvalidConfig, InvalidResult, PayloadTooLarge, VersionMismatch, WrongCluster, Protocol:
		return codes.InvalidArgument, ErrInvalid
	case PythonException:
		return codes.Unknown, ErrToolFailed
	case NotLeader:
		return codes.Unavailable, ErrNotLeader
	case Fenced, NodeRemoved:
		return codes.FailedPrecondition, ErrFenced
	case Unauthenticated:
		return codes.Unauthenticated, ErrDenied
	case PermissionDenied:
		return codes.PermissionDenied, ErrDenied
	case Unimplemented:
		return codes.Unimplemented, ErrUnimplemented
	case Deadline:
		return codes.DeadlineExceeded, deadlineClass()
	case Cancelled:
		return codes.Canceled, cancelledClass()
	case Internal:
		return codes.Internal, ErrInternal
	}
	return codes.Internal, nil
}

// Reasons lists every reason there is. The first of a class, or of a code, stands
// for an error of which nothing more is known.
func Reasons() []Reason {
	return []Reason{
		QueueTimeout, QueueFull, WorkerBusy, SessionQuota, RateLimited, DiskFull,
		PoolNotFound, ToolNotFound, SessionNotFound, SessionExpired, SessionLost, WorkerNotFound,
		Exists, Conflict, CallCycle,
		SessionWorkerUnavailable, SessionMoved, NoWorkers, PoolStarting, Draining, StartFailed,
		WorkerCrashed, WorkerHung, CircuitOpen, NoQuorum, OutcomeUnknown, HostUnreachable,
		InvalidArguments, InvalidToolName, InvalidConfig, InvalidResult, PayloadTooLarge, VersionMismatch, WrongCluster, Protocol,
		PythonException, NotLeader, Fenced, NodeRemoved, Unauthenticated, PermissionDenied, Unimplemented,
		Deadline, Cancelled, Internal,
	}
}

// table has one row a reason.
func table() []row {
	rows := make([]row, 0, len(Reasons()))
	for _, r := range Reasons() {
		code, class := classify(r)
		rows = append(rows, row{r, class, code})
	}
	return rows
}

func rowOf(r Reason) (row, bool) {
	code, class := classify(r)
	return row{r, class, code}, class != nil
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
