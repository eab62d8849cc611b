package shim

import (
	"os"

	"golang.org/x/sys/unix"
)

// readSize is how much of a worker's output is read at once.
const readSize = 16 << 10

// read passes a pipe on until it ends, or its deadline passes: to the log file,
// and to the host, if there is one that listens. A worker never waits for the host.
func (c *child) read(stream byte, pipe *os.File, log *LogFile) {
	buf := make([]byte, readSize)
	for {
		n, err := pipe.Read(buf)
		c.passOn(stream, buf[:n], log)
		if err != nil {
			break
		}
	}
	c.readRest(stream, pipe, buf, log)
	log.Close()
	_ = pipe.Close() // only read
	c.shim.posts <- c.pipeEnded
}

// readRest takes what still lies in a pipe whose deadline has passed: on a busy
// machine that may be a dead worker's last words. It never waits.
func (c *child) readRest(stream byte, pipe *os.File, buf []byte, log *LogFile) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return
	}
	const most = 1<<20/readSize + 1 // the largest pipe that an ordinary user can have; whoever still writes is cut off
	for range most {
		n := 0
		if err := raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buf) }); err != nil || n <= 0 {
			return
		}
		c.passOn(stream, buf[:n], log)
	}
}

func (c *child) passOn(stream byte, data []byte, log *LogFile) {
	if len(data) == 0 {
		return
	}
	if err := log.Write(data); err != nil {
		_ = complain(err)
	}
	c.shim.tell(stream, c.id, data)
}

// tell gives the host what a worker printed.
func (s *shim) tell(stream byte, worker string, data []byte) {
	l := s.audience.Load()
	if l == nil {
		return
	}
	if frame, err := outputFrame(stream, worker, data); err == nil {
		l.sendOutput(frame)
	}
}
