package shim

import (
	"fmt"
	"os"
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
func newPage() (*page, *os.File, error) {
	fd, err := unix.MemfdCreate("snakepit-marks", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "marks")
	if err := f.Truncate(pageBytes); err != nil {
		_ = f.Close() // nothing was written
		return nil, nil, err
	}
	// Nobody can shrink it under us: a read beyond its end would be a SIGBUS.
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		_ = f.Close() // nothing was written
		return nil, nil, fmt.Errorf("seal: %w", err)
	}
	p, err := openPage(f)
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, nil, err
	}
	return p, f, nil
}

// openPage maps the page behind a descriptor.
func openPage(f *os.File) (*page, error) {
	var st unix.Stat_t
	fd := int(f.Fd())
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
