package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// Read reads one process's line. It fails with [ErrGone].
func Read(pid int) (Stat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return Stat{}, ErrGone
	}
	if err != nil {
		return Stat{}, err
	}
	return parseStat(pid, b)
}

// parseStat counts fields after the last parenthesis, since names may hold anything:
// the first there is the line's third.
func parseStat(pid int, b []byte) (Stat, error) {
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return Stat{}, fmt.Errorf("process %d: a stat line of %d fields", pid, len(fields))
	}
	s := Stat{ID: ID{PID: pid}, State: fields[0][0]}
	for at, into := range map[int]*int{1: &s.PPID, 2: &s.PGID, 3: &s.Session, 17: &s.Threads} {
		n, err := strconv.Atoi(string(fields[at]))
		if err != nil {
			return Stat{}, fmt.Errorf("process %d: %w", pid, err)
		}
		*into = n
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return Stat{}, fmt.Errorf("process %d: %w", pid, err)
	}
	s.Start = start
	return s, nil
}

// Identify names a process that is alive or waits to be reaped. It fails with [ErrGone].
func Identify(pid int) (ID, error) {
	s, err := Read(pid)
	return s.ID, err
}

// All reads the whole table; who ends meanwhile isn't in it. It takes a
// millisecond or two.
func All() ([]Stat, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // only read
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var all []Stat
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if s, err := Read(pid); err == nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// ResidentBytes is a process's resident memory; zero when it's gone.
func ResidentBytes(pid int) uint64 {
	statm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(string(fields[1]), 10, 64) // zero: unknown
	return pages * uint64(os.Getpagesize())                  //nolint:gosec // a page's size is positive
}
