//go:build integration && linux

package failover_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// lan is a router and what hangs on it: each host, and the client, has a namespace, a
// cable to the router, and a network of its own, so that the router can lose what
// goes one way and let through what goes the other.
type lan struct {
	t      *testing.T
	prefix string
	router string
	names  []string
	moved  map[string]int // those that have another network than their place says
}

// newLAN makes a router and one namespace a name. Without the right to, or without
// namespaces, the test is skipped.
func newLAN(t *testing.T, names ...string) *lan {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may make network namespaces")
	}
	l := &lan{t: t, prefix: "sp" + strconv.Itoa(os.Getpid()) + "-", moved: map[string]int{}}
	l.router = l.prefix + "r"
	if out, err := ip("netns", "add", l.router); err != nil {
		t.Skipf("no network namespaces here: %v: %s", err, out)
	}
	t.Cleanup(func() { l.must("netns", "del", l.router) })
	l.in(l.router, "link", "set", "lo", "up")
	l.forward()
	for _, name := range names {
		l.plug(name)
	}
	return l
}

// ip runs the tool of that name.
func ip(args ...string) (string, error) {
	out, err := exec.Command("ip", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (l *lan) must(args ...string) {
	l.t.Helper()
	if out, err := ip(args...); err != nil {
		l.t.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (l *lan) in(namespace string, args ...string) {
	l.t.Helper()
	l.must(append([]string{"-n", namespace}, args...)...)
}

func (l *lan) forward() {
	l.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", l.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
}

// plug adds a namespace and its cable.
func (l *lan) plug(name string) {
	l.t.Helper()
	l.names = append(l.names, name)
	ns, n := l.namespace(name), len(l.names)
	l.must("netns", "add", ns)
	l.t.Cleanup(func() { l.must("netns", "del", ns) })
	outer := "v" + strconv.Itoa(n)
	l.must("link", "add", outer, "netns", l.router, "type", "veth", "peer", "name", "eth0", "netns", ns)
	l.in(l.router, "addr", "add", fmt.Sprintf("10.77.%d.1/24", n), "dev", outer)
	l.in(l.router, "link", "set", outer, "up")
	l.in(ns, "link", "set", "lo", "up")
	l.in(ns, "addr", "add", l.address(name)+"/24", "dev", "eth0")
	l.in(ns, "link", "set", "eth0", "up")
	l.in(ns, "route", "add", "default", "via", fmt.Sprintf("10.77.%d.1", n))
}

// namespace is the one of a name; the router's is r.
func (l *lan) namespace(name string) string { return l.prefix + name }

func (l *lan) number(name string) int {
	for i, n := range l.names {
		if n == name {
			return i + 1
		}
	}
	l.t.Fatal(errors.New("nobody is called " + name))
	return 0
}

// address is where a name is.
func (l *lan) address(name string) string {
	n := l.number(name)
	if moved, ok := l.moved[name]; ok {
		n = moved
	}
	return fmt.Sprintf("10.77.%d.2", n)
}

// readdress gives a name another network.
func (l *lan) readdress(name string, network int) {
	l.t.Helper()
	outer, ns := "v"+strconv.Itoa(l.number(name)), l.namespace(name)
	l.in(l.router, "addr", "flush", "dev", outer)
	l.in(ns, "addr", "flush", "dev", "eth0")
	l.moved[name] = network
	l.in(l.router, "addr", "add", fmt.Sprintf("10.77.%d.1/24", network), "dev", outer)
	l.in(ns, "addr", "add", l.address(name)+"/24", "dev", "eth0")
	l.in(ns, "route", "add", "default", "via", fmt.Sprintf("10.77.%d.1", network))
}

// command runs a program in a namespace, and nothing else is changed for it.
func (l *lan) command(name string, argv ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=/run/netns/" + l.namespace(name), "--"}, argv...)...)
}

// unplug cuts a name's cable; plugIn mends it.
func (l *lan) unplug(name string) {
	l.in(l.router, "link", "set", "v"+strconv.Itoa(l.number(name)), "down")
}

func (l *lan) plugIn(name string) {
	l.in(l.router, "link", "set", "v"+strconv.Itoa(l.number(name)), "up")
}

// deafen loses all that goes to a name; what it sends arrives. hear undoes it.
func (l *lan) deafen(name string) {
	l.in(l.router, "route", "add", "blackhole", l.address(name)+"/32")
}

func (l *lan) hear(name string) {
	l.in(l.router, "route", "del", "blackhole", l.address(name)+"/32")
}
