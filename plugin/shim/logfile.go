package shim

import (
	"os"
)

// defaultLogBytes is when a log file is put aside.
const defaultLogBytes = 4 << 20

// LogFile is a bounded file: when it's full it becomes PATH.1, in place of the one
// before. The zero value with a path opens it at the first write. It belongs to one goroutine.
type LogFile struct {
	Path string
	Max  int64 // zero: 4 MiB

	file *os.File
	size int64
}

// Write appends. After an error the file is left alone for good, and the error
// returned once: what writes here has better to do than to fail.
func (l *LogFile) Write(p []byte) error {
	if l.Path == "" {
		return nil
	}
	err := l.write(p)
	if err != nil {
		l.Close()
		l.Path = ""
	}
	return err
}

func (l *LogFile) write(p []byte) error {
	limit := l.Max
	if limit <= 0 {
		limit = defaultLogBytes
	}
	if l.file == nil || l.size+int64(len(p)) > limit && l.size > 0 {
		if err := l.rotate(limit); err != nil {
			return err
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return err
}

// rotate opens the file, after putting a full one aside.
func (l *LogFile) rotate(limit int64) error {
	l.Close()
	if st, err := os.Stat(l.Path); err == nil && st.Size() >= limit/2 {
		if err := os.Rename(l.Path, l.Path+".1"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(l.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close() // nothing was written
		return err
	}
	l.file, l.size = f, st.Size()
	return nil
}

// Close closes the file; a later write opens it again.
func (l *LogFile) Close() {
	if l.file != nil {
		_ = l.file.Close() // nothing is lost: there was no buffer
		l.file = nil
	}
}
