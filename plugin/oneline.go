package plugin

import (
	"io"
	"sync"
)

// oneLine is a pipe for a single line, and then its end. Whoever writes it never
// waits for whoever reads it: go-plugin reads nothing of a start that failed early.
type oneLine struct {
	line chan string // has room for the line
	once sync.Once
	rest string // only the reader's
}

func newOneLine() *oneLine { return &oneLine{line: make(chan string, 1)} }

// put writes the line. It's called once at most, and before end.
func (o *oneLine) put(line string) { o.line <- line }

// end says that nothing more comes; it may be called again.
func (o *oneLine) end() { o.once.Do(func() { close(o.line) }) }

// Read implements io.Reader.
func (o *oneLine) Read(b []byte) (int, error) {
	if o.rest == "" {
		line, ok := <-o.line
		if !ok {
			return 0, io.EOF
		}
		o.rest = line
	}
	n := copy(b, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}
