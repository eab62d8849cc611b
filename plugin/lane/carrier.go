package lane

import (
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Carrier moves frames between two sides. [Local], [ClientStream] and
// [ServerStream] are the carriers that there are. Read is called by one goroutine
// at a time, and so is Write; Close may be called at any time, more than once,
// and frees both.
type Carrier interface {
	// Read blocks for the next frame, which is the reader's to keep.
	Read() (*snakepitv1.Frame, error)
	// Write hands over frames, in order, as one unit where the carrier can. It
	// keeps nothing of them once it has returned.
	Write(frames []*snakepitv1.Frame) error
	// Close ends the carrier in both directions.
	Close() error
}

// An instant carrier can write without ever blocking, which lets a caller write
// its own frame instead of waking the writer's goroutine for it. It falls under
// the same rule as Write: one at a time.
type instant interface {
	Carrier
	// WriteNow takes all the frames and hands over as many bytes as the system
	// takes at once. It reports false when some are left for Flush.
	WriteNow(frames []*snakepitv1.Frame) (all bool, err error)
	// Flush blocks until what WriteNow left is handed over.
	Flush() error
}
