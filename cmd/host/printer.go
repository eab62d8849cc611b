package main

import (
	"fmt"
	"io"
)

// printer prints what a call gives.
type printer struct {
	out, err io.Writer
	progress *progressView
	json     bool // -o json
}

// chunk prints one chunk of a stream, as it comes.
func (p *printer) chunk(payload []byte) error {
	p.progress.clear()
	return writeLine(p.out, payload)
}

// result prints what a tool returned: text and bytes as they are, anything else as JSON.
func (p *printer) result(payload []byte) error {
	p.progress.end()
	if !p.json {
		switch v := plain(payload).(type) {
		case string:
			_, err := io.WriteString(p.out, v+"\n")
			return err
		case []byte:
			return p.bytes(v)
		}
	}
	return writeIndented(p.out, payload)
}

// bytes prints binary data as it is, but not on a terminal.
func (p *printer) bytes(data []byte) error {
	if isTerminal(p.out) {
		_, err := fmt.Fprintf(p.err, "snakepit: the result is %d bytes of binary data: redirect stdout to a file, or use -o json\n", len(data))
		return err
	}
	_, err := p.out.Write(data)
	return err
}
