// Package link is a node's one port. Raft, the nodes' calls to each other and
// joining share it: under TLS they're told apart by ALPN, without it by the first
// byte of a connection.
//
// It owns the listener, the connections until they're taken, and what says who
// somebody is: certificates, their authority, and tokens to join with. It doesn't
// own what is said over a connection.
//
// Both sides of a TLS connection prove who they are: a certificate of the
// cluster's authority that names a node (see [NodeURI]) is that node's, and nobody
// is taken for another. A newcomer, who has none yet, may only join. Without TLS a
// link listens and dials on loopback alone.
//
// # Concurrency
//
// [Link.Run] owns every goroutine. A connection that says nothing is closed after
// five seconds, and at most 256 may be in that state.
//
// # Errors
//
// invalid_config for addresses and files that can't be used, unauthenticated for
// a peer that isn't who it should be, and those of the network as they are.
package link
