package shim

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Slots is how many workers a shim can keep at once.
const Slots = 1 << 14

// line is a cache line: the two words of a worker never share one.
const line = 64

// page is the memory that host and shim share: for each worker the host's mark
// and the shim's word that the lease has ended. Only pages in use are real.
type page struct {
	mem []byte
}

const pageBytes = Slots * 2 * line

// newPage makes a page and its descriptor.
func newPage() (*page, int, error) {
	fd, err := unix.MemfdCreate("snakepit-marks", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, -1, fmt.Errorf("memfd_create: %w", err)
	}
	p, err := sealedPage(fd)
	if err != nil {
		_ = unix.Close(fd) // nothing was written
		return nil, -1, err
	}
	return p, fd, nil
}

func sealedPage(fd int) (*page, error) {
	if err := unix.Ftruncate(fd, pageBytes); err != nil {
		return nil, fmt.Errorf("ftruncate: %w", err)
	}
	// Nobody can shrink it under us: a read beyond its end would be a SIGBUS.
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return openPage(fd)
}

// openPage maps the page behind a descriptor.
func openPage(fd int) (*page, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Size != pageBytes {
		return nil, fmt.Errorf("a page of marks of %d bytes, want %d", st.Size, pageBytes)
	}
	mem, err := unix.Mmap(fd, 0, pageBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	p := &page{mem}
	// A call may hold a mark when its shim has died long ago: memory that was unmapped
	// under it would take the host down.
	runtime.AddCleanup(p, func(mem []byte) { _ = unix.Munmap(mem) }, mem) // it was mapped by us
	return p, nil
}

// at is a worker's pair of words. It keeps the page mapped.
func (p *page) at(slot int) Mark {
	offset := slot * 2 * line
	return Mark{mark: p.word(offset), closed: p.word(offset + line), page: p}
}

func (p *page) word(at int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&p.mem[at])) //nolint:gosec // aligned: at is a multiple of a cache line
}
