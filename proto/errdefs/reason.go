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

// classify is the table: class and code follow from the reason. It's a switch
// since each error that crosses a lane asks it several times.
func classify(r Reason) (class error, code codes.Code) {
	switch r {
	case QueueTimeout, QueueFull, WorkerBusy, SessionQuota, RateLimited, DiskFull:
		return ErrExhausted, codes.ResourceExhausted
	case PoolNotFound, ToolNotFound, SessionNotFound, SessionExpired, SessionLost, WorkerNotFound:
		return ErrNotFound, codes.NotFound
	case Exists:
		return ErrExists, codes.AlreadyExists
	case Conflict, CallCycle:
		return ErrConflict, codes.FailedPrecondition
	case SessionWorkerUnavailable, SessionMoved, NoWorkers, PoolStarting, Draining, StartFailed,
		WorkerCrashed, WorkerHung, CircuitOpen, NoQuorum, OutcomeUnknown, HostUnreachable:
		return ErrUnavailable, codes.Unavailable
	case InvalidArguments, InvalidToolName, InvalidConfig, InvalidResult, PayloadTooLarge, VersionMismatch, WrongCluster, Protocol:
		return ErrInvalid, codes.InvalidArgument
	case PythonException:
		return ErrToolFailed, codes.Unknown
	case NotLeader:
		return ErrNotLeader, codes.Unavailable
	case Fenced, NodeRemoved:
		return ErrFenced, codes.FailedPrecondition
	case Unauthenticated:
		return ErrDenied, codes.Unauthenticated
	case PermissionDenied:
		return ErrDenied, codes.PermissionDenied
	case Unimplemented:
		return ErrUnimplemented, codes.Unimplemented
	case Deadline:
		return deadlineClass(), codes.DeadlineExceeded
	case Cancelled:
		return cancelledClass(), codes.Canceled
	case Internal:
		return ErrInternal, codes.Internal
	}
	return nil, codes.Internal
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
		class, code := classify(r)
		rows = append(rows, row{r, class, code})
	}
	return rows
}

func rowOf(r Reason) (row, bool) {
	class, code := classify(r)
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
