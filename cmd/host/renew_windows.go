package main

import "os"

// notifyRenew does nothing: there is no such signal here.
func notifyRenew(chan<- os.Signal) {}

// notifyHangup does nothing: there is no such signal.
func notifyHangup(chan<- os.Signal) {}
