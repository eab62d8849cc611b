package link_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/cluster/link"
)

// silence is how long a stranger is borne with, and a margin for a busy machine.
const silence = 5*time.Second + 15*time.Second

// endsWithin sees to it that the other side closes a connection.
func endsWithin(t *testing.T, c net.Conn, wait time.Duration) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(wait))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection lasts")
	}
}

func stranger(t *testing.T, l *link.Link) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	return closed(t, c, err)
}

func TestStrangersAreSentAway(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	hello := helloOf(t)
	for where, l := range map[string]*link.Link{"in plain text": running(t, nil), "under TLS": running(t, identity(t, signed(t, a, "one")))} {
		for what, said := range map[string][]byte{
			"nothing": nil, "a zero": {0}, "half a preface": []byte("PRI * HT"), "a post": []byte("POST /snakepit.v1.Host/Call HTTP/1.1\r\n\r\n"),
			"half a hello": hello[:len(hello)/2], "a hello without ALPN": hello, "a record of 64 KiB": append([]byte{22, 3, 1, 0xff, 0xff}, make([]byte, 1<<16)...),
		} {
			t.Run(what+" "+where, func(t *testing.T) {
				t.Parallel()
				c := stranger(t, l)
				if _, err := c.Write(said); err != nil {
					t.Log(err) // it may be sent away before it has finished
				}
				endsWithin(t, c, silence)
			})
		}
	}
}

// helloOf is what a client of TLS says first.
func helloOf(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	said := make([]byte, 4<<10)
	var reading sync.WaitGroup
	reading.Go(func() {
		n, _ := far.Read(said) // it's written at once
		said = said[:n]
		_ = far.Close()
	})
	_ = tls.Client(near, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(t.Context())
	reading.Wait()
	return said
}

func TestWhoSpeaksOneByteAtATimeIsSentAway(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	for _, l := range []*link.Link{running(t, nil), running(t, identity(t, signed(t, a, "one")))} {
		said := append([]byte("PRI * HTTP/2.0\r\n\r\n"), make([]byte, 1<<10)...)
		if l.NewToken().Authority != [32]byte{} {
			said = helloOf(t)
		}
		c := stranger(t, l)
		began := time.Now()
		var err error
		for _, b := range said {
			if _, err = c.Write([]byte{b}); err != nil {
				break
			}
			_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // what paces it
			if _, err = c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if time.Since(began) > silence {
				t.Fatal("it's still listened to")
			}
		}
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it may say everything: %v", err)
		}
	}
}

func TestSilentStrangersKeepNobodyOut(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	server, client := running(t, identity(t, signed(t, a, "one"))), running(t, identity(t, signed(t, a, "two")))
	for range 4 * 256 {
		stranger(t, server)
	}
	c, err := client.DialNode(t.Context(), server.Addr(), "one")
	says(t, closed(t, c, err), accepted(t, server.Nodes()))
}

// TestTenThousandStrangersAreBounded isn't parallel: it measures the process.
func TestTenThousandStrangersAreBounded(t *testing.T) {
	const all, atOnce = 10_000, 500
	a, _ := authority(t)
	server, client := running(t, identity(t, signed(t, a, "one"))), running(t, identity(t, signed(t, a, "two")))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most int
	for range all / atOnce {
		var crowd []net.Conn
		for range atOnce {
			c, err := net.Dial("tcp", server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			crowd = append(crowd, c)
		}
		most = max(most, runtime.NumGoroutine())
		c, err := client.DialNode(t.Context(), server.Addr(), "one")
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		_ = accepted(t, server.Nodes()).Close()
		for _, c := range crowd {
			_ = c.Close()
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if most > 2*256+100 {
		t.Errorf("%d goroutines", most)
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func TestNewcomersOfOnePlaceAreBounded(t *testing.T) {
	t.Parallel()
	const fromOne = 8
	l := running(t, nil)
	var refused sync.WaitGroup
	ended := make(chan struct{}, 2*fromOne)
	t.Cleanup(refused.Wait)
	for range 2 * fromOne {
		c, err := link.DialJoin(t.Context(), l.Addr(), l.NewToken())
		c = closed(t, c, err)
		refused.Go(func() {
			_, _ = c.Read(make([]byte, 1))
			ended <- struct{}{}
		})
	}
	for range fromOne {
		<-ended
	}
	for range fromOne {
		_ = accepted(t, l.Joins()).Close()
	}
	c, err := link.DialJoin(t.Context(), l.Addr(), l.NewToken())
	says(t, closed(t, c, err), accepted(t, l.Joins())) // there's room again
}

func FuzzStrangerGetsNowhere(f *testing.F) {
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), false)
	f.Add([]byte{22, 3, 1, 0, 1, 1}, true)
	f.Add([]byte{1, 2, 3}, false)
	f.Add([]byte{}, true)
	dir := f.TempDir()
	a, err := link.NewAuthority(dir, "a test's cluster")
	if err != nil {
		f.Fatal(err)
	}
	files, err := a.IssueNode(dir, "one", nil)
	if err != nil {
		f.Fatal(err)
	}
	who, err := link.LoadIdentity(files, nil)
	if err != nil {
		f.Fatal(err)
	}
	plain, sealed := fuzzed(f, nil), fuzzed(f, who)
	f.Fuzz(func(t *testing.T, said []byte, overTLS bool) {
		l := plain
		if overTLS {
			l = sealed
		}
		c, err := net.Dial("tcp", l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write(said)
		if half, ok := c.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		endsWithin(t, c, silence)
	})
}

// fuzzed is a link of which each door counts who comes in, and sends them away: under
// TLS nobody does.
func fuzzed(f *testing.F, who *link.Identity) *link.Link {
	f.Helper()
	l, err := link.Listen(f.Context(), link.Config{Addr: "127.0.0.1:0", Identity: who})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	for _, door := range []net.Listener{l.API(), l.Nodes(), l.Joins(), l.Raft(anyNode)} {
		running.Go(func() {
			for {
				c, err := door.Accept()
				if err != nil {
					return
				}
				if who != nil {
					f.Error("a stranger came in")
				}
				_ = c.Close()
			}
		})
	}
	f.Cleanup(func() { cancel(); running.Wait() })
	return l
}
