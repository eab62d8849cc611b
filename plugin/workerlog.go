package plugin

import (
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/plugin/shim"
)

// Bounds of what is kept of a worker's standard error.
const (
	tailLines     = 40
	tailLineBytes = 2 << 10
)

// workerLog keeps a worker's standard error: all of it in a bounded file, the last
// lines in memory for errors, and each as an entry of the host's log.
type workerLog struct {
	path   string // empty: no file
	logger hclog.Logger

	mu     sync.Mutex // guards the fields below
	tail   []string
	lines  int // that there were
	hunger int // the number of the last one that says that there's no memory; zero: none

	file *shim.LogFile // only the reading goroutine; nil: none, or the shim writes it
}

// line takes one line. It's called by the two goroutines that read the worker's
// standard output and error; only the latter's lines go to the file.
func (l *workerLog) line(raw []byte, cut bool) {
	e := parseEntry(raw)
	text := e.message
	if cut {
		text += " …"
	}
	l.remember(text)
	l.write(raw)
	l.logger.Log(e.level, text, e.fields...)
}

// noise takes a line of standard output, where a worker has nothing to print.
func (l *workerLog) noise(raw []byte, _ bool) {
	l.logger.Debug("stdout", "line", clean(string(raw), maxValue))
}

func (l *workerLog) remember(text string) {
	if len(text) > tailLineBytes {
		text = text[:tailLineBytes] + "…"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines++
	if lacksMemory(text) {
		l.hunger = l.lines
	}
	l.tail = append(l.tail, text)
	if len(l.tail) > 2*tailLines {
		l.tail = append([]string(nil), l.tail[len(l.tail)-tailLines:]...)
	}
}

// last returns the last lines.
func (l *workerLog) last() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	tail := l.tail[max(0, len(l.tail)-tailLines):]
	return append([]string(nil), tail...)
}

// lacked tells whether one of the last lines said that there's no memory. There may be
// a stack of every thread behind it.
func (l *workerLog) lacked() bool {
	const stacks = 500
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hunger > 0 && l.lines-l.hunger < stacks
}

// write appends to the file, where the shim doesn't. A log that can't be written is
// said once and then left: the worker's work goes on.
func (l *workerLog) write(raw []byte) {
	if l.file == nil {
		return
	}
	if err := l.file.Write(append(raw[:len(raw):len(raw)], '\n')); err != nil {
		l.logger.Warn("the worker's log can't be written", "path", l.path, "err", err)
	}
}

// close is called by the reading goroutine at its end.
func (l *workerLog) close() {
	if l.file != nil {
		l.file.Close()
	}
}
