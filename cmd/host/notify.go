package main

import (
	"fmt"
	"net"
	"strings"
)

// notifySystemd tells a service manager how the host is, as sd_notify(3) does. Where
// none asks for it (NOTIFY_SOCKET isn't set) it does nothing.
func (p *program) notifySystemd(state ...string) error {
	socket := p.getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	if abstract, ok := strings.CutPrefix(socket, "@"); ok {
		socket = "\x00" + abstract
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	defer func() { _ = conn.Close() }() // a datagram is sent or isn't
	if _, err := conn.Write([]byte(strings.Join(state, "\n"))); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}
