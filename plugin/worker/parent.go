package worker

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// parentPause is how often a worker that nobody keeps looks for its parent.
const parentPause = 250 * time.Millisecond

// watchParent ends the process when the parent is gone that started it, unless somebody keeps it:
// a Snakepit host on Linux starts workers through a shim, which ends them by itself. Then
// the worker outlives its host, and waits for the next one.
func watchParent(ctx context.Context, parent int) {
	if os.Getenv("SNAKEPIT_WORKER_GUARDED") == "1" {
		return
	}
	for os.Getppid() == parent {
		if pause(ctx, parentPause); ctx.Err() != nil {
			return
		}
	}
	pause(ctx, grace(os.Getenv("SNAKEPIT_WORKER_GRACE")))
	if ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "worker: its host is gone")
		os.Exit(1)
	}
}

// maxGrace is a year, in seconds.
const maxGrace = 365 * 24 * 3600

// grace is a number of seconds; anything else is none.
func grace(text string) time.Duration {
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0) { // NaN too
		return 0
	}
	return time.Duration(min(seconds, maxGrace) * float64(time.Second))
}
