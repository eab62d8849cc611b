package lane

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func broken(format string, args ...any) error {
	return errdefs.New(errdefs.Protocol, format, args...)
}

// endOfCall is what an open call gets when its lane ends.
func (l *Lane) endOfCall(cause error, mayHaveRun bool, at errdefs.Where) error {
	reason := errdefs.Cancelled
	if l.dialled {
		reason = errdefs.WorkerCrashed
	}
	e := errdefs.Wrap(reason, cause, "the lane to the %s ended", l.other()).At(at)
	e.MayHaveRun = mayHaveRun
	return e
}

func (l *Lane) other() string {
	if l.dialled {
		return "worker"
	}
	return "host"
}

// carrierError gives an error of the carrier words that a reader understands.
func carrierError(err error) error {
	if errors.Is(err, io.EOF) {
		return errdefs.Wrap(errdefs.HostUnreachable, err, "the other side closed the lane")
	}
	var e *errdefs.Error
	if errors.As(err, &e) {
		return err
	}
	return errdefs.Wrap(errdefs.HostUnreachable, err, "the lane's carrier failed")
}

// contextError is what a wait returns when its ctx is done.
func contextError(ctx context.Context, at errdefs.Where) error {
	reason := errdefs.Cancelled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		reason = errdefs.Deadline
	}
	return errdefs.Wrap(reason, context.Cause(ctx), "waiting for the call").At(at)
}

func deadlineError(at errdefs.Where) *errdefs.Error {
	return errdefs.New(errdefs.Deadline, "the call's deadline passed before its answer came").At(at)
}

// cancelError is what a cancel frame's reason means to the one who is cancelled.
func cancelError(reason string) *errdefs.Error {
	reason = cut(reason, names.MaxName)
	if reason == "" {
		reason = string(errdefs.Cancelled)
	}
	return errdefs.FromProto(&snakepitv1.Error{Reason: reason, Class: "cancelled", Message: "the caller cancelled the call"})
}

// reasonOf is a cause's reason, as it goes into a cancel frame.
func reasonOf(cause error) string {
	if r := errdefs.ReasonOf(cause); r != "" {
		return cut(string(r), names.MaxName)
	}
	return string(errdefs.Cancelled)
}

func tooLarge(what string, n, most int) *errdefs.Error {
	if n > 0 {
		return errdefs.New(errdefs.PayloadTooLarge, "%s of %d bytes, where at most %d are taken", what, n, most)
	}
	return errdefs.New(errdefs.PayloadTooLarge, "%s of more than %d bytes", what, most)
}

const (
	maxError = 48 << 10 // what an encoded error may take of a frame
	maxText  = 4 << 10  // of each text of one that's longer
	maxTexts = 4        // of each list of one that's longer
)

// fit makes an error that any peer can take: UTF-8, and well within a frame.
func fit(e *snakepitv1.Error) *snakepitv1.Error {
	long := proto.Size(e) > maxError
	text := func(s *string) {
		if long {
			*s = cut(*s, maxText)
		} else {
			*s = strings.ToValidUTF8(*s, "?")
		}
	}
	list := func(l []string) []string {
		if long && len(l) > maxTexts {
			l = l[:maxTexts]
		}
		l = slices.Clone(l)
		for i := range l {
			text(&l[i])
		}
		return l
	}
	each(text, &e.Reason, &e.Class, &e.Message, &e.Path, &e.Hint)
	if w := e.GetWhere(); w != nil {
		each(text, &w.Node, &w.Pool, &w.Worker, &w.Session, &w.Tool, &w.Call)
	}
	if x := e.GetException(); x != nil {
		each(text, &x.Type, &x.Message, &x.Traceback)
		x.Bases, x.Notes = list(x.GetBases()), list(x.GetNotes())
	}
	if x := e.GetExit(); x != nil {
		text(&x.Signal)
		x.Stderr = list(x.GetStderr())
	}
	return e
}

func each(f func(*string), texts ...*string) {
	for _, t := range texts {
		f(t)
	}
}
