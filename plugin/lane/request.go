package lane

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Request is what opens a call.
type Request struct {
	ID       string            // the engine's name for the call, for logs and errors; at most 256 bytes
	Tool     string            // 1 to 64 bytes of [A-Za-z0-9][A-Za-z0-9_.-]*
	Session  string            // empty: none; at most 256 bytes
	Epoch    uint64            // of the session; zero: none
	Away     bool              // the callee isn't the session's home
	Payload  []byte            // the arguments; kept until they are written, so not to be changed
	Deadline time.Time         // zero: none
	Stream   bool              // the caller takes chunks
	Input    bool              // the caller sends chunks
	Metadata map[string]string // at most 16 entries and 4 KiB
	Early    time.Duration     // how long before Deadline the other side is to stop the call, so that its word on that comes in time
	Over     func()            // called once when the call is over for the other side too; nil: nobody. It's called under the lane's lock: it must be brief
	Parent   uint64            // the other side's call, by its number, during which this one is made; zero: none
}

// Message is what a call gives: a chunk, a progress report, or the result.
type Message struct {
	Payload  []byte
	Last     bool      // the result; no further message follows
	Progress *Progress // set: a progress report, with no payload
}

// Progress is how far a call has come. Only the newest counts.
type Progress struct {
	Done, Total float64 // in the tool's own unit; Total zero: unknown
	Message     string  // cut to 256 bytes
}

const (
	maxName          = 256
	maxProgress      = 256
	maxTimeout       = 365 * 24 * time.Hour
	maxTimeoutMicros = uint64(maxTimeout / time.Microsecond)
)

// check says what is wrong with a request, in either direction.
func (r *Request) check() *errdefs.Error {
	if err := names.CheckTool(r.Tool); err != nil {
		return err
	}
	switch {
	case len(r.Session) > maxName:
		return errdefs.New(errdefs.InvalidArguments, "a session id of %d bytes, where at most %d are allowed", len(r.Session), maxName)
	case len(r.ID) > maxName:
		return errdefs.New(errdefs.InvalidArguments, "a call id of %d bytes, where at most %d are allowed", len(r.ID), maxName)
	}
	if !utf8.ValidString(r.Session) || !utf8.ValidString(r.ID) {
		return errdefs.New(errdefs.InvalidArguments, "a session or call id that isn't UTF-8")
	}
	return names.CheckMetadata(r.Metadata)
}

func (r *Request) where() errdefs.Where {
	return errdefs.Where{Tool: r.Tool, Session: r.Session, Call: r.ID}
}

// requestOf reads a call frame; now is when it arrived.
func requestOf(c *snakepitv1.Call, now time.Time) Request {
	r := Request{
		ID: c.GetId(), Tool: c.GetTool(), Session: c.GetSession(), Epoch: c.GetEpoch(), Away: c.GetAway(), Stream: c.GetStream(), Input: c.GetInput(),
		Metadata: c.GetMetadata(), Parent: c.GetParent(),
	}
	if us := c.GetTimeoutUs(); us > 0 {
		r.Deadline = now.Add(time.Duration(min(us, maxTimeoutMicros)) * time.Microsecond) //nolint:gosec // bounded by the min
	}
	return r
}

// timeout is the time that the other side has, in microseconds; never zero for a
// deadline, since zero means none.
func (r *Request) timeout(now time.Time) uint64 {
	if r == nil || r.Deadline.IsZero() {
		return 0
	}
	return uint64(max(r.Deadline.Add(-r.Early).Sub(now).Microseconds(), 1))
}

func progressOf(p *snakepitv1.Progress) *Progress {
	return &Progress{Done: p.GetDone(), Total: p.GetTotal(), Message: cut(p.GetMessage(), maxProgress)}
}

// cut makes a text fit n bytes of UTF-8, without splitting a character.
func cut(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "?")
}
