// Package lane is the one channel of frames between a host and a worker: calls in
// both directions, chunks in both directions of a call, credit, cancels, deadlines
// and pings, over a Unix socket or a gRPC stream. proto/LANE.md has the rules, and
// lanetest is the same page as tests.
//
// The host's side comes from [Dial], the worker's from [Accept]; afterwards they
// are alike. [Lane.Run] has to run for as long as the lane is used.
//
//	l, err := lane.Dial(ctx, lane.Local(conn, 0), lane.Config{Token: token, Serve: serve})
//	…
//	call, err := l.Open(ctx, lane.Request{Tool: "predict", Payload: args})
//	m, err := call.Recv(ctx)
//
// # Concurrency
//
// A [Lane] is safe for concurrent use. It has two goroutines, one that reads and
// one that writes, and one for each call that the other side has open; a call that
// this side opens has none. Run owns them all. One mutex a lane guards its memory;
// it's never held across a channel, a timer, a context or the carrier. The one who
// reads waits for nothing but the carrier, so two sides can't wait for each other.
//
// A payload that is given to Open, Send or End belongs to the lane until it's
// written; one that Recv gives belongs to the receiver.
//
// # Memory
//
// For each call at most a window and a message wait to be taken (see [Limits]), and
// 64 KiB and a message to be sent. A peer that sends without credit, opens more
// calls than it may without reading the answers, or breaks another rule ends the lane.
//
// # Errors
//
// Errors are *errdefs.Error values. What [Lane.Open] returns never reached the
// other side. A call whose lane ends gets worker_crashed on the host's side, with
// MayHaveRun when all of its opening was handed to the carrier, and cancelled on
// the worker's. The end of a lane isn't the end of the process at its other side.
package lane
