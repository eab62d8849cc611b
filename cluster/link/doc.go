// Package link is a node's one port. Raft, the nodes' calls to each other, clients
// and newcomers share it: under TLS they're told apart by ALPN, without it by the
// first byte of a connection.
//
// It owns the listener, the connections until they're taken, and what says who
// somebody is: certificates, their authority, and tokens to join with. It doesn't
// own what is said over a connection, except by a newcomer.
//
// # Who may do what
//
// Both sides of a TLS connection prove who they are. A certificate of the
// cluster's authority names a node or a client, in a URI among its alternative names
// ([NodeURI], [ClientURI]): snakepit:node/ID, snakepit:client/NAME. A node may
// speak Raft, call other nodes and call the API; a client the API alone; whoever has
// no certificate may enrol, and nothing else. Nobody is taken for another. A
// certificate that names neither, as an outside authority's may, is a node's if it's
// meant for servers, and a client's otherwise; as a node's it's good for the hosts
// that it names. Without TLS a link listens and dials on loopback alone, and
// everybody is a stranger ([Stranger]) who may do everything.
//
// # A node's start
//
// [github.com/snakepit-go/snakepit/cluster.NodeID] says who it is; [IssueNode] sees to
// its certificate where the authority's key is, [Join] where there's a token;
// [LoadIdentity] reads it, [Listen] opens the port, and an [Enrolment] lets others
// in once the registry is open. A folder of certificates (the knob tls_dir) has
//
//	ca.pem         certificates of who signs for the cluster
//	ca-key.pem     the key of the first of them: only where nodes may be signed for
//	node.pem       the node's certificate, the authority's behind it
//	node-key.pem   its key
//	client.pem     a client's certificate, on a client's machine
//	client-key.pem its key
//
// A key is its user's alone (mode 0600), or it's refused. Files that are replaced
// count from the next connection on.
//
// # Concurrency
//
// [Link.Run] owns every goroutine of the port, [Enrolment.Run] those that answer
// newcomers. A connection that says nothing is closed after five seconds; at most 256
// may be in that state, and one more takes the place of the oldest. A newcomer's
// lasts 30 seconds at most; 32 of them may be open, 8 from one place, and eight
// may be enrolling. Wrong tokens are answered after a second, and after five in a
// row from one place refused for a while.
//
// # Errors
//
// invalid_config for addresses and files that can't be used, unauthenticated for
// a peer that isn't who it should be and for a wrong token, wrong_cluster for a token
// or a folder of another cluster, rate_limited, and those of the network as they are.
package link
