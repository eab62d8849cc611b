package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/snakepit-go/snakepit/host/embed"
)

// pids are the workers' processes.
func pids(sp *embed.Host) []int {
	var out []int
	for _, w := range sp.Workers("") {
		out = append(out, w.Process.PID)
	}
	return out
}

// checkGone says that no worker's process is left, or which one is.
func checkGone(w io.Writer, workers []int) error {
	var left []int
	for _, pid := range workers {
		if alive(pid) {
			left = append(left, pid)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("still running: %s", processes(left))
	}
	say(w, "\nNo Python process is left.\n")
	return nil
}

func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}

func processes(pids []int) string {
	parts := make([]string, len(pids))
	for i, pid := range pids {
		parts[i] = strconv.Itoa(pid)
	}
	return "processes " + strings.Join(parts, " and ")
}
