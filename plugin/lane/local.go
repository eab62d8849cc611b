package lane

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"syscall"

	"google.golang.org/protobuf/proto"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	lengthBytes  = 4
	frameSlack   = 64 << 10 // what a frame may have beside its payload
	readBuffer   = 64 << 10
	keepBuffer   = 1 << 20 // a larger scratch buffer isn't kept
	defaultFrame = 256 << 10
)

// Local carries frames over a stream socket: each is its length as an unsigned
// 32-bit big-endian number, then the encoded frame. maxFrame is this side's limit
// for a frame's payload; zero means 256 KiB. A batch is one write to the socket.
func Local(conn net.Conn, maxFrame int) Carrier {
	if maxFrame <= 0 {
		maxFrame = defaultFrame
	}
	c := &local{conn: conn, in: bufio.NewReaderSize(conn, readBuffer), longest: maxFrame + frameSlack}
	if now, ok := newInstant(c); ok {
		return now
	}
	return c
}

type local struct {
	conn    net.Conn
	longest int // the longest frame taken, in bytes

	in   *bufio.Reader
	long []byte // for a frame that doesn't fit the read buffer

	out []byte
}

func (c *local) Read() (*snakepitv1.Frame, error) {
	head, err := c.in.Peek(lengthBytes)
	if len(head) > 0 && err != nil {
		return nil, cutShort(err)
	}
	if err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head))
	if n > int64(c.longest) {
		return nil, errdefs.New(errdefs.Protocol, "a frame of %d bytes, where at most %d are taken", n, c.longest)
	}
	if _, err := c.in.Discard(lengthBytes); err != nil {
		return nil, err
	}
	return c.body(int(n))
}

func (c *local) body(n int) (*snakepitv1.Frame, error) {
	if n > c.in.Size() {
		return c.longBody(n)
	}
	raw, err := c.in.Peek(n)
	if err != nil {
		return nil, cutShort(err)
	}
	f, err := decode(raw)
	if err != nil {
		return nil, err
	}
	_, err = c.in.Discard(n)
	return f, err
}

func (c *local) longBody(n int) (*snakepitv1.Frame, error) {
	if cap(c.long) < n {
		c.long = make([]byte, n)
	}
	if err := readFull(c.in, c.long[:n]); err != nil {
		return nil, err
	}
	return decode(c.long[:n])
}

func decode(raw []byte) (*snakepitv1.Frame, error) {
	f := new(snakepitv1.Frame)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, f); err != nil {
		return nil, errdefs.Wrap(errdefs.Protocol, err, "a frame that can't be decoded")
	}
	return f, nil
}

func (c *local) Write(frames []*snakepitv1.Frame) error {
	if err := c.encode(frames); err != nil {
		return err
	}
	_, err := c.conn.Write(c.out)
	return err
}

func (c *local) encode(frames []*snakepitv1.Frame) error {
	if cap(c.out) > keepBuffer {
		c.out = nil
	}
	c.out = c.out[:0]
	for _, f := range frames {
		at := len(c.out)
		buf, err := proto.MarshalOptions{}.MarshalAppend(append(c.out, 0, 0, 0, 0), f)
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at-lengthBytes)) //nolint:gosec // a frame is far below 4 GiB
		c.out = buf
	}
	return nil
}

func (c *local) Close() error { return c.conn.Close() }

// instantLocal writes to a socket of the system, which never blocks its thread:
// what doesn't fit the socket's buffer is left over.
type instantLocal struct {
	*local
	raw   syscall.RawConn
	rest  []byte                // of out, not yet handed over
	err   error                 // of the last attempt
	write func(fd uintptr) bool // made once, so that an attempt allocates nothing
}

func (c *instantLocal) WriteNow(frames []*snakepitv1.Frame) (bool, error) {
	if err := c.encode(frames); err != nil {
		return false, err
	}
	c.rest, c.err = c.out, nil
	if err := c.raw.Write(c.write); err != nil {
		return false, err
	}
	return len(c.rest) == 0, c.err
}

func (c *instantLocal) Flush() error {
	_, err := c.conn.Write(c.rest)
	c.rest = nil
	return err
}

func readFull(r io.Reader, buf []byte) error {
	_, err := io.ReadFull(r, buf)
	return cutShort(err)
}

// cutShort names an end in the middle of a frame.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
