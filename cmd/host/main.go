package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

func main() {
	if firstProcess() {
		os.Exit(runAsFirst())
	}
	os.Exit(start())
}

// start runs the program under the process's own streams and signals.
func start() int {
	ctx, cancel := context.WithCancel(context.Background())
	p := newProgram(os.Stdin, os.Stdout, os.Stderr)
	force := make(chan struct{})
	p.force = force

	renew := make(chan struct{})
	p.renew = renew

	stop := make(chan os.Signal, 2)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	// A reader that goes away shows as a failed write, so that workers are stopped
	// before the program ends. Nobody reads this channel.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	var wg sync.WaitGroup
	ended := make(chan struct{})
	wg.Go(func() { relay(stop, ended, cancel, force) })
	usr2 := make(chan os.Signal, 1)
	notifyRenew(usr2)
	wg.Go(func() { relayRenew(usr2, ended, renew) })

	code := p.run(ctx, os.Args[1:])
	cancel()
	close(ended)
	wg.Wait()
	return code
}

// relay turns the first signal into cancel and the second into a closed force.
func relay(stop <-chan os.Signal, ended <-chan struct{}, cancel context.CancelFunc, force chan<- struct{}) {
	for _, act := range []func(){cancel, func() { close(force) }} {
		select {
		case <-stop:
			act()
		case <-ended:
			return
		}
	}
	<-ended
}

// relayRenew passes on every request for an upgrade that somebody waits for.
func relayRenew(usr2 <-chan os.Signal, ended <-chan struct{}, renew chan<- struct{}) {
	for {
		select {
		case <-usr2:
			select {
			case renew <- struct{}{}:
			case <-ended:
				return
			}
		case <-ended:
			return
		}
	}
}
