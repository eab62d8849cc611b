// Package lanetest is proto/LANE.md as tests: [Run] drives a worker over a lane,
// whatever language it's written in and whichever carrier it's reached by, and
// checks what it answers, frame by frame where that matters.
//
// # What a worker needs
//
// It serves the tools below over a lane that [Peer].Dial reaches, again after the
// lane before has ended, and runs at least Peer.Slots calls at once; more wait their
// turn. Values are those of proto/VALUES.md. Each tool but stubborn ends soon after
// its call was cancelled; "chunks" are yielded as a list when the caller takes none.
//
//   - echo(value) gives value.
//   - count(n) yields the integers from 0 up to n.
//   - sum(numbers: chunks) gives the sum of the caller's integers.
//   - upper(words: chunks) yields each of the caller's strings in capitals, as it comes.
//   - lengths(parts: chunks) yields the length of each of the caller's byte strings.
//   - sleep(seconds) gives seconds, after that time.
//   - spin() loops forever, without ever waiting.
//   - stubborn(seconds) doesn't notice that it's cancelled, and gives seconds after that time.
//   - fail(message) raises a ValueError with the message and the notes "first", "second".
//   - call_back(tool, value) calls the host tool with the argument value and gives
//     its result, or fails with its error.
//   - blob(size) gives so many bytes: at index i the value i modulo 251.
//   - blobs(n, size) yields n times what blob gives.
//   - sink(data) gives the length of a byte string.
//   - progress(n) reports i of n, with the message "step i", for i from 1 to n, without pause, and gives n.
//   - about() gives a map with the call's tool, call_id and session (strings, empty for
//     none), metadata (a map), and remaining (seconds until the deadline; nil for none).
//
// [Worker] is such a worker in Go.
package lanetest
