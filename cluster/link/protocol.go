package link

// protocol is what is spoken over a connection.
type protocol byte

// The protocols. The values are the first byte of a connection without TLS.
const (
	speakRaft protocol = 1 + iota
	speakNode
	speakJoin
)

// protocols are all there are.
func protocols() []protocol { return []protocol{speakRaft, speakNode, speakJoin} }

// alpn is the protocol's name under TLS.
func (p protocol) alpn() string {
	switch p {
	case speakRaft:
		return "snakepit-raft/1"
	case speakNode:
		return "snakepit-node/1"
	case speakJoin:
		return "snakepit-join/1"
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
