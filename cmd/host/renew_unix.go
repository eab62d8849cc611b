//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyRenew asks for the signal that means an upgrade.
func notifyRenew(c chan<- os.Signal) { signal.Notify(c, syscall.SIGUSR2) }
