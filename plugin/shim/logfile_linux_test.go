package shim_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/snakepit-go/snakepit/plugin/shim"
)

func TestAFullDiskIsSaidOnce(t *testing.T) {
	t.Parallel()
	l := &shim.LogFile{Path: "/dev/full"}
	if err := l.Write([]byte("x")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Write = %v, want ENOSPC", err)
	}
	if err := l.Write([]byte("x")); err != nil {
		t.Errorf("the second Write = %v", err)
	}
}
