// Package watch notices that the source files of an adapter have changed. It
// watches folders, since editors replace files instead of writing to them, and
// waits until a change is complete: a save, a checkout or a deployment touches many
// files one after the other.
//
// # Concurrency
//
// A [Watcher] is used by one goroutine: [New] opens it, [Watcher.Run] owns it and
// closes it.
package watch
