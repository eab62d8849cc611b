package lane

// Peer is the process at the other end of a socket, as the kernel names it.
type Peer struct {
	PID int
	UID int
}
