package lane

import (
	"bytes"
	"context"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// stored is a connection that gives some bytes, and takes any.
type stored struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *stored) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *stored) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s *stored) Close() error                { return nil }

// seeds are the golden frames, one by one and all of them, as the local carrier has them.
func seeds(f *testing.F) {
	f.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "frames.txt"))
	if err != nil {
		f.Fatal(err)
	}
	var all []byte
	for line := range strings.Lines(string(raw)) {
		_, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		frame, err := hex.DecodeString(text)
		if err != nil {
			continue // a comment
		}
		framed := append([]byte{0, 0, byte(len(frame) >> 8), byte(len(frame))}, frame...)
		f.Add(framed)
		all = append(all, framed...)
	}
	f.Add(all)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0, 1})
	f.Add([]byte{})
}

// FuzzLocalRead reads any bytes as frames: none makes it panic or take more than a
// frame's length, and what it has read is written and read alike.
func FuzzLocalRead(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Local(&stored{in: bytes.NewReader(data)}, 1000)
		again := &stored{}
		w := Local(again, 1000)
		var frames []*snakepitv1.Frame
		for {
			frame, err := c.Read()
			if err != nil {
				break
			}
			frames = append(frames, frame)
		}
		if err := w.Write(frames); err != nil {
			t.Fatalf("write: %v", err)
		}
		again.in = bytes.NewReader(again.out.Bytes())
		for i := range frames {
			if _, err := w.Read(); err != nil {
				t.Fatalf("frame %d of %d, once written: %v", i, len(frames), err)
			}
		}
	})
}

// FuzzFrames has a lane take any frames: it never panics, and what it holds stays
// within its limits until it ends.
func FuzzFrames(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 1 << 16
		limits := Limits{MaxFrame: 4096, MaxPayload: 8192, CallWindow: 8192, LaneWindow: 16384, MaxCalls: 8}
		l := newLane(nil, Config{Serve: echo, Limits: limits}, false, limits)
		for range 2 { // calls of this side: 2 and 4
			openCall(t, l, Request{Tool: "x", Stream: true, Input: true})
			l.step()
		}
		c := Local(&stored{in: bytes.NewReader(data)}, 4096)
		for {
			frame, err := c.Read()
			if err != nil || l.handle(t.Context(), frame) != nil {
				break
			}
			if n := held(l); n > most {
				t.Fatalf("the lane holds %d bytes", n)
			}
		}
		l.fail(errNobody)
		l.serving.Wait()
	})
}

var errNobody = broken("the test is over")

func echo(_ context.Context, in *Inbound) { in.End(in.Request().Payload, nil) }

// held is what a lane keeps for its peer.
func held(l *Lane) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(0)
	for _, c := range l.calls {
		n += streamHolds(&c.stream)
	}
	for _, in := range l.served {
		n += streamHolds(&in.stream) + int64(len(in.req.Payload))
	}
	return n
}

func streamHolds(s *stream) int64 {
	n := int64(len(s.in.part)) + s.out.queued
	for _, c := range s.in.queue[s.in.head:] {
		n += c.cost
	}
	return n
}
