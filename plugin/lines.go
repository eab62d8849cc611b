package plugin

import (
	"bufio"
	"errors"
	"io"
)

// maxLine is the most of one line that is kept; go-plugin's own scanner gives up
// at 64 KiB.
const maxLine = 16 << 10

// eachLine calls fn with every line of r until r ends, cut to maxLine bytes. It
// always reads on, so that a writer never blocks on a full pipe. The slice is
// fn's until it returns.
func eachLine(r io.Reader, fn func(line []byte, cut bool)) {
	br := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 {
			fn(trimEOL(line), errors.Is(err, bufio.ErrBufferFull))
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			_, err = br.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

func trimEOL(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}
