package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// handedVariable says how many files a host handed to the process that it started
// to take over, from descriptor 3 on.
const handedVariable = "SNAKEPIT_HANDED_OVER"

// successor starts this very command line anew. The program is looked up again:
// what stands at its path now may be a newer version.
func successor(files []*os.File) (*os.Process, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path) //nolint:noctx,gosec // it outlives us on purpose; it's this very program
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), handedVariable+"="+strconv.Itoa(len(files)))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return cmd.Process, nil
}

// handed gives the files that a host handed to this process; none, when it wasn't
// started by one. The variable goes: what we start takes over from nobody.
func handed() ([]*os.File, error) {
	const first, most = 3, 16
	text, ok := os.LookupEnv(handedVariable)
	if !ok {
		return nil, nil
	}
	if err := os.Unsetenv(handedVariable); err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 1 || n > most {
		return nil, errdefs.New(errdefs.InvalidConfig, "%s=%q is no number of files", handedVariable, text)
	}
	var files []*os.File
	for fd := range n {
		f := os.NewFile(uintptr(first+fd), "handed over")
		if _, err := f.Stat(); err != nil {
			return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "%s=%s, but descriptor %d isn't there", handedVariable, text, first+fd)
		}
		files = append(files, f)
	}
	return files, nil
}
