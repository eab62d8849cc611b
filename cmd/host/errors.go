package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError says that the command line is wrong; nothing was tried.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

func exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	default:
		return exitFailed
	}
}

// asCancelled gives a failure that only says that ctx has ended the reason
// cancelled, in words; other errors stay as they are.
func asCancelled(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	e := *errdefs.Of(err)
	e.Reason, e.Message = errdefs.Cancelled, "the call was cancelled by a signal"
	return &e
}

// asLate words a deadline that ran out on this side, before the host's own word
// of it came; other errors stay as they are.
func asLate(err error, inv invocation) error {
	if !errors.Is(err, context.DeadlineExceeded) || errdefs.Of(err).Where != (errdefs.Where{}) {
		return err
	}
	e := *errdefs.Of(err)
	e.Message = "the call's deadline has passed"
	return e.At(errdefs.Where{Pool: inv.Pool, Session: inv.Session, Tool: inv.Tool})
}

// failure is an error as -o json shows it.
type failure struct {
	Reason     string            `json:"reason"`
	Class      string            `json:"class"`
	Message    string            `json:"message"`
	Path       string            `json:"path,omitempty"`
	Hint       string            `json:"hint,omitempty"`
	MayHaveRun bool              `json:"may_have_run"`
	RetryAfter float64           `json:"retry_after,omitempty"` // seconds
	Where      map[string]string `json:"where,omitempty"`
	Exception  *exception        `json:"exception,omitempty"`
	Exit       *exit             `json:"exit,omitempty"`
}

type exception struct {
	Type      string   `json:"type"`
	Bases     []string `json:"bases"`
	Message   string   `json:"message"`
	Traceback string   `json:"traceback"`
	Notes     []string `json:"notes"`
}

type exit struct {
	Code   int      `json:"code"`
	Signal string   `json:"signal,omitempty"`
	Stderr []string `json:"stderr"`
}

func newFailure(err error) failure {
	var usage *usageError
	if errors.As(err, &usage) && errdefs.ReasonOf(err) == "" {
		return failure{Reason: "usage", Class: "invalid", Message: err.Error()}
	}
	e := local(err)
	wire := errdefs.ToProto(e)
	f := failure{
		Reason: string(e.Reason), Class: wire.GetClass(), Message: e.Message, Path: e.Path, Hint: e.Hint,
		MayHaveRun: e.MayHaveRun, RetryAfter: e.RetryAfter.Seconds(), Where: whereMap(e.Where),
	}
	if x := e.Exception; x != nil {
		f.Exception = &exception{x.Type, filled(x.Bases), x.Message, x.Traceback, filled(x.Notes)}
	}
	if x := e.Exit; x != nil {
		f.Exit = &exit{x.Code, x.Signal, filled(x.Stderr)}
	}
	return f
}

// local is errdefs.Of for an error that never leaves this machine: its text is
// kept even where it has no class.
func local(err error) *errdefs.Error {
	e := errdefs.Of(err)
	var own *errdefs.Error
	if e.Reason == errdefs.Internal && !errors.As(err, &own) {
		return errdefs.New(errdefs.Internal, "%s", err.Error())
	}
	return e
}

func whereMap(w errdefs.Where) map[string]string {
	m := map[string]string{}
	for k, v := range map[string]string{
		"node": w.Node, "pool": w.Pool, "worker": w.Worker, "session": w.Session, "tool": w.Tool, "call": w.Call,
	} {
		if v != "" {
			m[k] = v
		}
	}
	return m
}

// filled makes a list that JSON shows as [] where it's empty.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// report writes err to w: as an object, or as text that starts with what happened
// and ends with what to do.
func report(w io.Writer, err error, asJSON bool) {
	if err == nil || errors.Is(err, syscall.EPIPE) && !asJSON {
		return // whoever read the output has gone, and needs no telling
	}
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(map[string]failure{"error": newFailure(err)})
		return
	}
	var usage *usageError
	if errors.As(err, &usage) && errdefs.ReasonOf(err) == "" {
		_, _ = fmt.Fprintf(w, "snakepit: %s\n", clean(err.Error()))
		return
	}
	_, _ = io.WriteString(w, describe(local(err), newPaint(w)))
}

// describe is an error as text, in lines.
func describe(e *errdefs.Error, p paint) string {
	var b strings.Builder
	b.WriteString("snakepit: " + p.bold(string(e.Reason)))
	if e.Message != "" {
		b.WriteString(": " + clean(e.Message))
	}
	if e.Path != "" && !strings.Contains(e.Message, e.Path) {
		b.WriteString(" (at " + clean(e.Path) + ")")
	}
	b.WriteString("\n")
	if x := e.Exception; x != nil {
		b.WriteString(indent(p, x.Traceback))
	}
	if x := e.Exit; x != nil {
		b.WriteString("  process ended with " + x.String() + "\n")
		b.WriteString(indent(p, strings.Join(x.Stderr, "\n")))
	}
	if w := e.Where.String(); w != "" {
		b.WriteString("  where: " + clean(w) + "\n")
	}
	if e.MayHaveRun {
		b.WriteString("  the call may have run, wholly or partly\n")
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "  try again in %s\n", e.RetryAfter)
	}
	if e.Hint != "" {
		b.WriteString("  hint: " + clean(e.Hint) + "\n")
	}
	return b.String()
}

// indent shows foreign text below an error's first line.
func indent(p paint, text string) string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + p.dim(clean(strings.TrimRight(line, "\n"))) + "\n")
	}
	return b.String()
}

// clean replaces control characters, so that text from a tool can't drive the
// reader's terminal. Newlines and tabs stay.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// paint colours text, or doesn't.
type paint struct{ on bool }

// newPaint paints on terminals alone, and not where NO_COLOR is set.
func newPaint(w io.Writer) paint {
	return paint{isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (p paint) bold(s string) string { return p.wrap("1", s) }
func (p paint) dim(s string) string  { return p.wrap("2", s) }

func (p paint) wrap(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
