package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// terminal is a screen that is drawn on and a keyboard that is read key by key.
type terminal struct {
	in  *os.File
	out io.Writer

	saved   *term.State
	resized chan os.Signal
}

const (
	// A screen of its own, without a cursor; and back.
	takeScreen = "\x1b[?1049h\x1b[?25l"
	giveScreen = "\x1b[?25h\x1b[?1049l"
	// keyWait is how long a read waits for a key, in tenths of a second.
	keyWait = 1
)

// terminal is the one that the program runs in; nil when there is none that can be
// drawn on.
func (p *program) terminal() *terminal {
	in, ok := p.stdin.(*os.File)
	if !ok || !isTerminal(in) || !isTerminal(p.stdout) || p.getenv("TERM") == "dumb" || !readsKeys {
		return nil
	}
	return &terminal{in: in, out: p.stdout, resized: make(chan os.Signal, 1)}
}

// take switches to a screen of its own and to keys without echo.
func (t *terminal) take() (err error) {
	fd := int(t.in.Fd())
	if t.saved, err = term.MakeRaw(fd); err != nil {
		return err
	}
	if err := waitBriefly(fd, keyWait); err != nil {
		return errors.Join(err, term.Restore(fd, t.saved))
	}
	notifyResize(t.resized)
	_, err = io.WriteString(t.out, takeScreen)
	return err
}

// giveBack leaves the terminal as it was.
func (t *terminal) giveBack() error {
	stopResize(t.resized)
	_, err := io.WriteString(t.out, giveScreen)
	return errors.Join(err, term.Restore(int(t.in.Fd()), t.saved))
}

// read passes on keys until ctx ends, or the terminal is gone: then it closes keys.
// A read returns after a tenth of a second without a key, so that it ends with ctx.
func (t *terminal) read(ctx context.Context, keys chan<- byte) {
	defer close(keys)
	var buf [32]byte
	for ctx.Err() == nil {
		began := time.Now()
		n, err := t.in.Read(buf[:])
		for _, key := range buf[:n] {
			select {
			case keys <- key:
			case <-ctx.Done():
				return
			}
		}
		nothing := n == 0 && errors.Is(err, io.EOF)
		if err != nil && !nothing || nothing && time.Since(began) < keyWait*time.Second/20 {
			return // a terminal that has hung up doesn't wait
		}
	}
}

// size is that of the screen, in cells.
func (t *terminal) size() (width, height int) {
	width, height, err := term.GetSize(int(t.in.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// draw replaces what is on the screen, in one write so that it doesn't flicker.
func (t *terminal) draw(lines []string) error {
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	_, err := io.WriteString(t.out, b.String())
	return err
}
