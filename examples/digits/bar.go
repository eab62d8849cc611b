package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

const barWidth = 24 // in characters: the whole line fits 80

// bar shows how far the training has come: one line that grows in a terminal, a
// line for each epoch elsewhere.
type bar struct {
	w     io.Writer
	live  bool // w is a terminal
	drawn bool
}

func newBar(w io.Writer) *bar {
	f, ok := w.(*os.File)
	return &bar{w: w, live: ok && term.IsTerminal(int(f.Fd()))}
}

func (b *bar) show(e epoch) {
	line := fmt.Sprintf("epoch %2d/%d   loss %.4f   right on %5.1f %%", e.Epoch, e.Epochs, e.Loss, 100*e.Accuracy)
	if !b.live {
		say(b.w, "%s\n", line)
		return
	}
	full := barWidth * e.Epoch / max(e.Epochs, 1)
	say(b.w, "\r%s%s  %s", strings.Repeat("█", full), strings.Repeat("░", max(barWidth-full, 0)), line)
	b.drawn = true
}

func (b *bar) end() {
	if b.drawn {
		say(b.w, "\n")
	}
}
