//go:build integration && linux

package failover_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxyVariable makes this program the proxy; it holds where it listens, and for whom.
const proxyVariable = "SNAKEPIT_TEST_PROXY"

// proxy stands between the nodes, in the router's namespace: this kernel can't delay
// packets by itself.
type proxy struct {
	delay atomic.Int64 // of each byte, one way

	mu   sync.Mutex // guards open
	open map[net.Conn]struct{}
}

// proxyMain carries connections until its input ends. A line of input is "delay NS" or
// "reset", which breaks all connections there are.
func proxyMain() int {
	var routes map[string]string
	if err := json.Unmarshal([]byte(os.Getenv(proxyVariable)), &routes); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p := &proxy{open: map[net.Conn]struct{}{}}
	for from, to := range routes {
		l, err := net.Listen("tcp", from)
		if err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			return 1
		}
		go p.serve(l, to)
	}
	_, _ = fmt.Fprintln(os.Stdout, "ready") // whoever waits for it is there
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		p.obey(lines.Text())
	}
	return 0
}

func (p *proxy) obey(line string) {
	var ns int64
	if _, err := fmt.Sscanf(line, "delay %d", &ns); err == nil {
		p.delay.Store(ns)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an end
		}
		_ = c.Close()
	}
}

func (p *proxy) serve(l net.Listener, to string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go p.carry(in, to)
	}
}

func (p *proxy) carry(in net.Conn, to string) {
	out, err := net.DialTimeout("tcp", to, time.Second)
	if err != nil {
		_ = in.Close()
		return
	}
	p.track(in, true)
	p.track(out, true)
	var both sync.WaitGroup
	both.Go(func() { p.pour(out, in) })
	both.Go(func() { p.pour(in, out) })
	both.Wait()
	p.track(in, false)
	p.track(out, false)
}

func (p *proxy) track(c net.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open {
		p.open[c] = struct{}{}
	} else {
		delete(p.open, c)
	}
}

// parcel is bytes, and when they may be delivered.
type parcel struct {
	due   time.Time
	bytes []byte
}

// pour delivers what it reads, later and in order. The end of one direction is the end of both.
func (p *proxy) pour(to, from net.Conn) {
	const most = 1024 // parcels under way
	parcels := make(chan parcel, most)
	go func() {
		defer close(parcels)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if n > 0 {
				parcels <- parcel{time.Now().Add(time.Duration(p.delay.Load())), buf[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for q := range parcels {
		if wait := time.Until(q.due); wait > 0 {
			<-time.After(wait)
		}
		if _, err := to.Write(q.bytes); err != nil {
			break
		}
	}
	_ = to.Close()
	_ = from.Close()
	for range parcels { // until the reader has gone
	}
}

// detour is a running proxy.
type detour struct {
	t  *testing.T
	in io.WriteCloser
}

// throughProxy has all nodes advertise the router's side of their cable, where a proxy is.
func (s *site) throughProxy() *detour {
	s.t.Helper()
	routes := map[string]string{}
	for i, n := range s.nodes {
		front := fmt.Sprintf("10.77.%d.1:%s", i+1, port)
		routes[front] = n.addr
		n.advertise, n.addr = front, front
	}
	text, err := json.Marshal(routes)
	if err != nil {
		s.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := s.lan.command("r", self)
	cmd.Env = append(os.Environ(), proxyVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // it has no more to do
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		s.t.Fatal(err)
	}
	return &detour{s.t, in}
}

func (d *detour) say(line string) {
	d.t.Helper()
	if _, err := io.WriteString(d.in, line+"\n"); err != nil {
		d.t.Fatal(err)
	}
}

// delay is what each byte takes from one node to another, from now on.
func (d *detour) delay(by time.Duration) { d.say("delay " + strconv.FormatInt(int64(by), 10)) }

// reset breaks every connection.
func (d *detour) reset() { d.say("reset") }
