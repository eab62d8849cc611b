package shim

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// LockFile is the file in a pair's folder whose lock is held for as long as guard
// or shim live. The lock is shared: a folder may see several pairs.
const LockFile = "guard.lock"

// Config says which pair to start.
type Config struct {
	Dir      string // holds its socket and lock; a short path, 0700
	Instance string // whose workers it keeps; a later host must name the same
	Isolated bool   // the workers get a PID namespace; that needs CAP_SYS_ADMIN
	// Errors is where guard and shim write what goes wrong with them; nil: nowhere.
	Errors *os.File
	Settings
}

// Start starts a guard and a shim and connects to them. The caller runs
// [Client.Run]; wait reaps the guard, and returns once it has ended, which may be later.
func Start(cfg Config) (c *Client, wait func() error, err error) {
	var id [3]byte
	_, _ = rand.Read(id[:]) // never fails
	socket := filepath.Join(cfg.Dir, "shim-"+hex.EncodeToString(id[:])+".sock")
	p, err := openParts(cfg, socket)
	if err != nil {
		return nil, nil, err
	}
	defer p.close()
	cmd := p.guard(cfg)
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start the guard: %w", err), p.ours.Close(), os.Remove(socket))
	}
	conn, err := p.takeConn()
	if err == nil {
		c, err = newClient(conn, socket, newHello(cfg.Instance, cfg.Settings))
	}
	if err != nil { // it has no workers yet, and the shim follows the guard
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
		_ = os.Remove(socket)  // the guard may have
		return nil, nil, fmt.Errorf("start the shim: %w", err)
	}
	return c, cmd.Wait, nil
}

// parts are the descriptors that a pair is given.
type parts struct {
	ours, theirs, listener, lock *os.File
}

func openParts(cfg Config, socket string) (*parts, error) {
	p := &parts{}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	p.ours, p.theirs = os.NewFile(uintptr(fds[0]), "shim"), os.NewFile(uintptr(fds[1]), "host")
	if err := p.open(cfg.Dir, socket); err != nil {
		p.close()
		return nil, errors.Join(err, p.ours.Close())
	}
	return p, nil
}

func (p *parts) open(dir, socket string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false) // the shim goes on listening
	p.listener, err = l.File()
	if err = errors.Join(err, l.Close()); err != nil {
		return err
	}
	p.lock, err = os.OpenFile(filepath.Join(dir, LockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return unix.Flock(int(p.lock.Fd()), unix.LOCK_SH)
}

// guard is the command that starts the guard.
func (p *parts) guard(cfg Config) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe") //nolint:noctx // it outlives us on purpose
	cmd.Args = []string{guardName, cfg.Dir, ""}
	if cfg.Isolated {
		cmd.Args[2] = isolatedArg
	}
	cmd.Env = []string{
		"GOTRACEBACK=single", "GOMAXPROCS=2", "GOCOVERDIR=" + os.Getenv("GOCOVERDIR"), "GORACE=" + os.Getenv("GORACE"),
	}
	if cfg.Errors != nil { // else an exec.Cmd gives it /dev/null
		cmd.Stderr = cfg.Errors
	}
	cmd.ExtraFiles = []*os.File{p.theirs, p.listener, p.lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

func (p *parts) takeConn() (*net.UnixConn, error) {
	_ = p.theirs.Close() // the guard's: ours would hide its end
	conn, err := net.FileConn(p.ours)
	_ = p.ours.Close() // conn has its own
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil //nolint:errcheck,forcetypeassert // it's the socketpair
}

// close closes what was opened for the guard; ours is the caller's.
func (p *parts) close() {
	for _, f := range []*os.File{p.theirs, p.listener, p.lock} {
		if f != nil {
			_ = f.Close() // nothing was written; the guard has its own
		}
	}
}

// Attach connects to the shim of a host that is gone. It fails with
// [AttachedError] while that host lives, and with the system's error when there is no shim.
func Attach(socket, instance string, s Settings) (*Client, error) {
	return attach(socket, newHello(instance, s))
}

func attach(socket string, h hello) (*Client, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	p, err := peerOf(conn) // of our own user, or it isn't a shim of ours
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	p.close()
	return newClient(conn, socket, h)
}

// InUse reports whether a pair lives in a folder.
func InUse(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, LockFile), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // only looked at
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return true
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	return false
}
