package shim

import "os"

// readSize is how much of a worker's output is read at once.
const readSize = 16 << 10

// read passes a pipe on until it ends, or its deadline passes: to the log file,
// and to the host, if there is one that listens. A worker never waits for the host.
func (c *child) read(stream byte, pipe *os.File, log *LogFile) {
	buf := make([]byte, readSize)
	for {
		n, err := pipe.Read(buf)
		if n > 0 {
			if err := log.Write(buf[:n]); err != nil {
				_ = complain(err)
			}
			c.shim.tell(stream, c.id, buf[:n])
		}
		if err != nil {
			break
		}
	}
	log.Close()
	_ = pipe.Close() // only read
	c.shim.posts <- c.pipeEnded
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
