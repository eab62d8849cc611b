package plugin

import (
	"bytes"
	"io"
)

// maxLine is the most of one line that is kept; go-plugin's own scanner gives up
// at 64 KiB.
const maxLine = 16 << 10

// lineCutter cuts what a worker prints into lines of at most maxLine bytes. What
// comes behind them, up to the end of the line, is dropped. It belongs to one goroutine.
type lineCutter struct {
	fn      func(line []byte, cut bool) // the slice is its own until it returns
	partial []byte
	long    bool // fn has had the beginning of this line
}

// Write implements io.Writer. It never fails.
func (c *lineCutter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		c.add(line)
		if whole {
			c.end()
		}
		p = rest
	}
	return n, nil
}

func (c *lineCutter) add(part []byte) {
	if c.long {
		return
	}
	room := maxLine - len(c.partial)
	c.partial = append(c.partial, part[:min(len(part), room)]...)
	if len(part) > room {
		c.fn(c.partial, true)
		c.partial, c.long = c.partial[:0], true
	}
}

// end ends the line, with or without its newline.
func (c *lineCutter) end() {
	if !c.long {
		c.fn(bytes.TrimRight(c.partial, "\r"), false)
	}
	c.partial, c.long = c.partial[:0], false
}

// Close ends a last line that has no newline.
func (c *lineCutter) Close() {
	if len(c.partial) > 0 {
		c.end()
	}
}

// eachLine calls fn with every line of r until r ends. It always reads on, so that
// a writer never blocks on a full pipe.
func eachLine(r io.Reader, fn func(line []byte, cut bool)) {
	c := &lineCutter{fn: fn}
	_, _ = io.Copy(c, r) // its end is all that matters
	c.Close()
}
