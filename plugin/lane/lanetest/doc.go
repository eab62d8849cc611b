// Package lanetest is proto/LANE.md as tests: [Run] drives a worker over a lane,
// whatever language it's written in and whichever carrier it's reached by, and
// checks what it answers, frame by frame where that matters.
//
// # What a worker needs
//
// It serves the tools below over a lane that [Peer].Dial reaches, again after the
// lane before has ended, and runs at least Peer.Slots calls at once; more wait their
// turn, and remembers its sessions' epochs from one lane to the next. Values are those of proto/VALUES.md. Each tool but stubborn ends soon after
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
//     none), metadata (a map), remaining (seconds until the deadline; nil for none), epoch
//     and home (nil without a session).
//   - keep(key, value) sets a key of the session's state, and gives a list of what it was
//     before (nil for nothing), what it is now, and its version.
//   - hooks() gives a list of what the hooks have been told of the call's session.
//
// It has all four hooks of sessions. Each notes a list for hooks(): "open"; "restore",
// the state as a map of values, and saved; "save"; "close", and moved. What restore
// gets as saved may be an order: the bytes "fail" make it raise as fail("restore") does,
// "spin" make it loop forever. What save gives is the session's id as bytes, or nil
// where the id begins with "empty".
//
// [Worker] is such a worker in Go.
package lanetest
