package link

// protocol is what is spoken over a connection.
type protocol byte

// The protocols. The values are the first byte of a connection without TLS: that of
// the API is the first of what every HTTP/2 client begins with.
const (
	speakRaft protocol = 1 + iota
	speakNode
	speakJoin
	speakAPI protocol = 'P'
)

// protocols are all there are.
func protocols() []protocol { return []protocol{speakRaft, speakNode, speakJoin, speakAPI} }

// alpn is the protocol's name under TLS.
func (p protocol) alpn() string {
	switch p {
	case speakRaft:
		return "snakepit-raft/1"
	case speakNode:
		return "snakepit-node/1"
	case speakJoin:
		return "snakepit-join/1"
	case speakAPI:
		return "h2"
	case tlsHello:
	}
	return ""
}

// named finds a protocol by its name under TLS; zero when there is none.
func named(alpn string) protocol {
	for _, p := range protocols() {
		if p.alpn() == alpn {
			return p
		}
	}
	return 0
}

// admits reports whether somebody may speak it under TLS. Nobody but a node is
// let in where the nodes speak, whatever else its certificate is good for.
func (p protocol) admits(who Who) bool {
	switch p {
	case speakJoin:
		return true
	case speakAPI:
		return who.Kind != Stranger
	case speakRaft, speakNode:
		return who.Kind == Node
	case tlsHello:
	}
	return false
}

// most is how many connections that speak it a link lets others have at a time.
func (p protocol) most() int {
	switch p {
	case speakJoin:
		return mostJoining
	case speakAPI:
		return mostClients
	case speakRaft, speakNode, tlsHello:
	}
	return mostNodes
}
