package shim

import (
	"os"
)

// defaultLogBytes is when a log file is put aside.
const defaultLogBytes = 4 << 20

// LogFile is a bounded file: before it would grow beyond Max it becomes PATH.1, in
// place of the one before. The zero value with a path opens it at the first write.
// It belongs to one goroutine.
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
	limit := l.Max
	if limit <= 0 {
		limit = defaultLogBytes
	}
	for len(p) > 0 {
		n := min(int64(len(p)), limit)
		if err := l.write(p[:n], limit); err != nil {
			l.Close()
			l.Path = ""
			return err
		}
		p = p[n:]
	}
	return nil
}

// write appends what fits into an empty file.
func (l *LogFile) write(p []byte, limit int64) error {
	if l.file == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	if l.size > 0 && l.size+int64(len(p)) > limit {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return err
}

// rotate puts a full file aside.
func (l *LogFile) rotate() error {
	l.Close()
	if err := os.Rename(l.Path, l.Path+".1"); err != nil {
		return err
	}
	return l.open()
}

func (l *LogFile) open() error {
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
