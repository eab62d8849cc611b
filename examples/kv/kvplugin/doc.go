// Package kvplugin is the host's side of the key-value plugin: what any go-plugin
// host writes for a gRPC plugin. It knows nothing of Python or of Snakepit; the
// plugin might as well be written in Go.
//
// # Concurrency
//
// A Client is safe for concurrent use. It lives as long as the plugin.
//
// # Errors
//
// Errors are gRPC statuses, with the call and the key in front.
package kvplugin
