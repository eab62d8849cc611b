package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// ErrTorn says that a file's content is damaged, and can't be given to bbolt.
var ErrTorn = errors.New("the file is torn")

// ErrLocked says that another process has the file open, or this one has already.
var ErrLocked = errors.New("the file is in use by a live process")

// lockWait is how long Check waits for a writer: one that is about to close.
const lockWait = time.Second

// Check reports whether bbolt can open, read and write the file at path without
// harm: nil when it's sound, empty or missing, an error that wraps [ErrTorn] when
// it's damaged. It reads every page that is in use, and changes nothing. It blocks
// for at most a second while another process has the file open for writing, and
// then returns [ErrLocked]; several Checks may run at once.
func Check(path string) error {
	f, err := openRegular(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	return verifyShared(f)
}

func verifyShared(f *os.File) error {
	err := lock(f, shared, lockWait)
	if err == nil {
		err = verify(f)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

// openRegular opens a file and nothing else: opening a pipe would block.
func openRegular(path string, flag int) (*os.File, error) {
	switch st, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0:
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a file but a %s", path, kindOf(st.Mode()))
	}
	return os.OpenFile(path, flag, 0o600)
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "folder"
	case m&fs.ModeNamedPipe != 0:
		return "pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	default:
		return "device"
	}
}
