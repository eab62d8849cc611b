package shim

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Version is that of the protocol between host and shim. It only ever grows by
// fields and operations that the other side may ignore.
const Version = 1

// maxFrame bounds one frame. A worker's environment is the largest thing in one.
const maxFrame = 4 << 20

// maxHello bounds the first frame, of somebody that we don't know yet.
const maxHello = 64 << 10

// kind says what a frame holds.
type kind byte

const (
	kindHello   kind = 'h' // the host's first: hello
	kindWelcome kind = 'w' // the shim's answer: welcome
	kindRequest kind = 'q' // the host's: request
	kindReply   kind = 'r' // the shim's: reply
	kindEvent   kind = 'e' // the shim's: event
	kindOutput  kind = 'o' // the shim's: what a worker printed, as appendOutput lays it out
)

// header is a frame's: four bytes of length, of what follows them, and its kind.
const header = 5

// newFrame lays out a frame with a JSON body.
func newFrame(k kind, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return rawFrame(k, body)
}

func rawFrame(k kind, body []byte) ([]byte, error) {
	if len(body)+1 > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes, and %d are the most", len(body)+1, maxFrame)
	}
	frame := make([]byte, header, header+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)+1)) //nolint:gosec // bounded above
	frame[header-1] = byte(k)
	return append(frame, body...), nil
}

// readFrame reads one frame.
func readFrame(r io.Reader) (kind, []byte, error) { return readFrameOf(r, maxFrame) }

// readFrameOf reads one frame of a bounded length.
func readFrameOf(r io.Reader, most uint32) (kind, []byte, error) {
	var head [header]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > most {
		return 0, nil, fmt.Errorf("a frame of %d bytes, and 1 to %d are allowed", n, most)
	}
	body := make([]byte, n-1)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return kind(head[header-1]), body, nil
}

// The streams of a worker.
const (
	Stdout byte = 1
	Stderr byte = 2
)

// outputFrame carries what a worker printed: the stream, the length of the
// worker's id in two bytes, the id, the bytes.
func outputFrame(stream byte, worker string, data []byte) ([]byte, error) {
	body := make([]byte, 0, 3+len(worker)+len(data))
	body = append(body, stream)
	body = binary.BigEndian.AppendUint16(body, uint16(len(worker))) //nolint:gosec // maxID
	body = append(body, worker...)
	return rawFrame(kindOutput, append(body, data...))
}

func parseOutput(body []byte) (stream byte, worker string, data []byte, err error) {
	if len(body) < 3 || len(body) < 3+int(binary.BigEndian.Uint16(body[1:])) {
		return 0, "", nil, fmt.Errorf("an output of %d bytes", len(body))
	}
	n := 3 + int(binary.BigEndian.Uint16(body[1:]))
	return body[0], string(body[3:n]), body[n:], nil
}
