package errdefs

import (
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Of gives err as an *[Error]: the first one in its chain, or a new one of its
// class. The text of an error of no class stays here: it becomes "internal error".
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	c := classOf(err)
	for _, t := range table() {
		if errors.Is(c.sentinel, t.class) {
			e = &Error{Reason: t.reason, Message: err.Error(), cause: err}
			break
		}
	}
	if e.Reason == Internal {
		e.Message = "internal error"
	}
	return e
}

// ToProto converts err for the wire; nil stays nil.
func ToProto(err error) *snakepitv1.Error {
	e := Of(err)
	if e == nil {
		return nil
	}
	out := &snakepitv1.Error{
		Reason:       string(e.Reason),
		Class:        classOf(e).name,
		Message:      e.Message,
		MayHaveRun:   e.MayHaveRun,
		Path:         e.Path,
		Hint:         e.Hint,
		RetryAfterUs: uint64(max(e.RetryAfter, 0).Microseconds()), //nolint:gosec // not negative
	}
	if w := e.Where; w != (Where{}) {
		out.Where = &snakepitv1.Where{Node: w.Node, Pool: w.Pool, Worker: w.Worker, Session: w.Session, Tool: w.Tool, Call: w.Call}
	}
	if x := e.Exception; x != nil {
		out.Exception = &snakepitv1.Exception{Type: x.Type, Bases: x.Bases, Message: x.Message, Traceback: x.Traceback, Notes: x.Notes}
	}
	if x := e.Exit; x != nil {
		out.Exit = &snakepitv1.Exit{Code: int32(x.Code), Signal: x.Signal, Stderr: x.Stderr} //nolint:gosec // an exit code is 0 to 255, or -1
	}
	return out
}

// FromProto is the inverse of [ToProto]. A reason that this program doesn't know
// keeps its name and has the class that came with it.
func FromProto(in *snakepitv1.Error) *Error {
	if in == nil {
		return nil
	}
	e := &Error{
		Reason:     Reason(in.GetReason()),
		Message:    in.GetMessage(),
		MayHaveRun: in.GetMayHaveRun(),
		Path:       in.GetPath(),
		Hint:       in.GetHint(),
		RetryAfter: time.Duration(min(in.GetRetryAfterUs(), maxMicroseconds)) * time.Microsecond, //nolint:gosec // bounded by the min
	}
	if w := in.GetWhere(); w != nil {
		e.Where = Where{Node: w.GetNode(), Pool: w.GetPool(), Worker: w.GetWorker(), Session: w.GetSession(), Tool: w.GetTool(), Call: w.GetCall()}
	}
	if x := in.GetException(); x != nil {
		e.Exception = &Exception{Type: x.GetType(), Bases: x.GetBases(), Message: x.GetMessage(), Traceback: x.GetTraceback(), Notes: x.GetNotes()}
	}
	if x := in.GetExit(); x != nil {
		e.Exit = &Exit{Code: int(x.GetCode()), Signal: x.GetSignal(), Stderr: x.GetStderr()}
	}
	if _, known := rowOf(e.Reason); !known {
		c, _ := classNamed(in.GetClass())
		e.class = c.sentinel
	}
	return e
}

// maxMicroseconds is one year: no wait is longer, and the product can't overflow.
const maxMicroseconds = 365 * 24 * 3600 * 1_000_000

// ToStatus converts err to a gRPC status error with a snakepit.v1.Error as its
// detail; nil stays nil. Whatever may have run is Aborted, since proxies and
// clients retry Unavailable.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	e := Of(err)
	st := status.New(codeOf(e), e.text())
	if d, derr := st.WithDetails(ToProto(e)); derr == nil {
		st = d
	}
	return st.Err()
}

func codeOf(e *Error) codes.Code {
	if e.MayHaveRun {
		return codes.Aborted
	}
	if t, ok := rowOf(e.Reason); ok {
		return t.code
	}
	for _, t := range table() {
		if errors.Is(t.class, classOf(e).sentinel) {
			return t.code
		}
	}
	return codes.Internal
}

// FromStatus is the inverse of [ToStatus]. A status without our detail becomes an
// error of the code's class; an error that is no status stays as it is.
func FromStatus(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, d := range st.Details() {
		if p, isOurs := d.(*snakepitv1.Error); isOurs {
			return FromProto(p)
		}
	}
	e := &Error{Reason: Internal, Message: st.Message(), cause: err}
	switch {
	case st.Code() == codes.Unavailable:
		e.Reason = HostUnreachable
		return e
	case st.Code() == codes.ResourceExhausted && strings.Contains(st.Message(), "larger than max"): // gRPC's words, not ours
		e.Reason = PayloadTooLarge
		return e
	}
	for _, t := range table() {
		if t.code == st.Code() {
			e.Reason = t.reason
			break
		}
	}
	return e
}
