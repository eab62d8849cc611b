// Package rpc serves a host's API, snakepit.v1.Host, over gRPC. It turns messages
// into the engine's values and back, and decides nothing.
//
// # Concurrency
//
// A [Server] is safe for concurrent use. [Server.Serve] owns its goroutines and
// returns after the last one ended.
//
// # Errors
//
// Every error leaves as a gRPC status with a snakepit.v1.Error as its detail, made
// in one interceptor; so does a panic, as an internal error without its text.
package rpc
