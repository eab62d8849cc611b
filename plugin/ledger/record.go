package ledger

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/snakepit-go/snakepit/host"
)

// Record is what is known of one worker. Each part is zero until its step.
type Record struct {
	Worker      host.WorkerID
	Token       string // what the worker carries in its environment
	Pool        string
	Fingerprint string // of its command: whether a later host would start the same
	Dir         string // the worker's folder, with its sockets
	Incarnation uint64 // of the host that started it; the ledger fills it in
	Devices     string // GPUs that are its alone, separated by commas; empty: none

	Process  Identity // from Identify
	Reattach Reattach // from Complete

	// Raw and Err are set, and all else but Worker is zero, for a record that can't be
	// read: it's damaged, or a version too far from ours wrote it.
	Raw []byte
	Err error
}

// Identity names one process of this machine, for ever.
type Identity struct {
	host.Process
	Boot string // the boot that its start time counts from; empty where the system has none
}

// Reattach is what a later host needs to reach a worker and to know it again.
type Reattach struct {
	Network         string // "unix" or "tcp"
	Address         string // a socket's path, or an IP address and port
	ProtocolVersion int    // go-plugin's own
	AppVersion      int    // of our protocol, as negotiated
	Slots           int
	Incarnation     uint64 // of the host that is attached; the ledger fills it in
}

// Addr is the address as go-plugin's ReattachConfig wants it. It resolves nothing.
func (r Reattach) Addr() (net.Addr, error) {
	switch r.Network {
	case "unix":
		return &net.UnixAddr{Name: r.Address, Net: r.Network}, nil
	case "tcp":
		ap, err := netip.ParseAddrPort(r.Address)
		if err != nil {
			return nil, fmt.Errorf("address of a worker: %w", err)
		}
		return net.TCPAddrFromAddrPort(ap), nil
	default:
		return nil, fmt.Errorf("address of a worker: network %q is neither unix nor tcp", r.Network)
	}
}
