// Package client talks to a host over a socket: the network's door to the same
// verbs as host/embed.
//
//	sp, err := client.Dial(ctx, "unix:///run/user/1000/snakepit/1a2b3c4d/api.sock")
//	if err != nil { … }
//	defer sp.Close()
//	err = sp.Call(ctx, "predict", in, &out, snakepit.Session("user-1"))
//
// # Concurrency
//
// A [Client] is safe for concurrent use. [Client.Close] returns after its last
// goroutine ended.
//
// # Errors
//
// Errors are the host's own, *errdefs.Error; host_unreachable when there's no host,
// and with MayHaveRun when the connection broke during a call.
package client
