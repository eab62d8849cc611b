// Package values turns Go values into msgpack and back, with the extension types
// that keep Python's types: proto/VALUES.md is the table, testdata/values.txt its
// golden file, read by the tests of both languages.
//
// [Encode] and [Decode] are the pair for Go programs, [ToJSON] and [FromJSON] the
// pair for people and for application/json.
//
// # Concurrency
//
// Functions keep nothing between calls and are safe for concurrent use.
//
// # Errors
//
// Every error is an *[Error] with the path to the value that is wrong. Data is
// never trusted: a declared length allocates nothing that the data doesn't hold,
// and nesting ends at [MaxDepth].
package values
