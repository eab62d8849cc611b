package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/snakepit-go/snakepit"
)

// progressEvery is the shortest time between two plain lines of progress.
const progressEvery = time.Second

// barWidth is the width of the progress bar, in cells.
const barWidth = 24

// progressView shows how far a call has come: a bar in a terminal, a line each
// second elsewhere.
type progressView struct {
	w     io.Writer
	live  bool // w is a terminal
	width func() int
	now   func() time.Time

	drawn   bool      // a bar stands on the current line
	last    time.Time // of the newest plain line
	pending string    // the newest line that wasn't written
}

func newProgressView(w io.Writer) *progressView {
	return &progressView{w: w, live: isTerminal(w), width: func() int { return terminalWidth(w) }, now: time.Now}
}

// show takes the newest report.
func (v *progressView) show(p snakepit.Progress) {
	if v.live {
		v.draw(p)
		return
	}
	v.pending = progressLine(p)
	if now := v.now(); v.last.IsZero() || now.Sub(v.last) >= progressEvery {
		v.last = now
		v.flush()
	}
}

// clear takes the bar away, before something else is written.
func (v *progressView) clear() {
	if v.drawn {
		_, _ = io.WriteString(v.w, "\r\x1b[K")
		v.drawn = false
	}
}

// end writes what is still to be said.
func (v *progressView) end() {
	v.clear()
	v.flush()
}

func (v *progressView) flush() {
	if v.pending != "" {
		_, _ = io.WriteString(v.w, v.pending+"\n")
		v.pending = ""
	}
}

func (v *progressView) draw(p snakepit.Progress) {
	line := progressLine(p)
	if p.Total > 0 {
		full := int(fraction(p) * barWidth)
		line = strings.Repeat("█", full) + strings.Repeat("░", barWidth-full) + " " + line
	}
	if r, most := []rune(line), v.width()-1; len(r) > most && most > 0 {
		line = string(r[:most])
	}
	_, _ = io.WriteString(v.w, "\r\x1b[K"+line)
	v.drawn = true
}

// progressLine is a report as text: " 30% 3/10 epoch 3".
func progressLine(p snakepit.Progress) string {
	var parts []string
	if p.Total > 0 {
		parts = append(parts, fmt.Sprintf("%3.0f%% %.10g/%.10g", fraction(p)*100, p.Done, p.Total))
	} else {
		parts = append(parts, fmt.Sprintf("%.10g", p.Done))
	}
	if p.Message != "" {
		parts = append(parts, strings.NewReplacer("\n", " ", "\t", " ").Replace(clean(p.Message)))
	}
	return strings.Join(parts, " ")
}

// fraction is how much is done, 0 to 1, whatever the tool says.
func fraction(p snakepit.Progress) float64 {
	f := p.Done / p.Total
	if !(f > 0) { // NaN too
		return 0
	}
	return min(f, 1)
}

func terminalWidth(w io.Writer) int {
	if f, ok := w.(fileLike); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// fileLike is a stream that may be a terminal.
type fileLike interface{ Fd() uintptr }

func isTerminal(stream any) bool {
	f, ok := stream.(fileLike)
	return ok && term.IsTerminal(int(f.Fd()))
}
