// Package worker makes a Go program a worker: a go-plugin plugin that serves
// snakepit.v1.Worker, so that a pool of it stands beside pools of Python workers.
//
//	func main() {
//		worker.Main(worker.Adapter{Name: "words", Slots: 4, Tools: []worker.Tool{
//			worker.Func("count", func(_ context.Context, _ *worker.Call, in struct{ Text string }) (int, error) {
//				return len(strings.Fields(in.Text)), nil
//			}),
//		}})
//	}
//
// The pool's adapter is then exec:./words. docs/workers.md says what a worker in
// any other language has to do; this package is that page in Go.
//
// It imports nothing of the host's side of plugin: what the two have in common is
// the lane and the wire.
//
// # Concurrency
//
// Tools run on goroutines of their own, at most Slots at once; more calls wait. A
// [Call] belongs to its tool and is used by one goroutine at a time, but for Progress.
//
// # Errors
//
// An error of a tool that is no *errdefs.Error reaches the caller as
// python_exception, the reason for whatever a tool raises, with its text and its
// Go type; so does a panic, with its stack.
package worker
