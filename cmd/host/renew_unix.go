//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyRenew asks for the signal that means an upgrade.
func notifyRenew(c chan<- os.Signal) { signal.Notify(c, syscall.SIGUSR2) }

// notifyHangup asks for the signal that means that the configuration is to be read
// again.
func notifyHangup(c chan<- os.Signal) { signal.Notify(c, syscall.SIGHUP) }
