package plugin

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The handshake of go-plugin, and ours.
const (
	cookieKey       = "SNAKEPIT_PLUGIN"
	cookieValue     = "0d1c8c52-5a0f-4c39-9a83-6e5e0b7d1f54"
	protocolVersion = 1
	pluginName      = "worker"
	coreVersion     = 1
	maxSocketPath   = 107 // sockaddr_un, without the closing zero
)

// handshake is the one line that a plugin prints, as far as it concerns us.
type handshake struct {
	core, app     int
	network, addr string
}

// isHandshake reports whether a line of standard output is meant as a handshake:
// it starts like `1|1|unix|`. Anything else is noise.
func isHandshake(line string) bool {
	core, rest, ok := strings.Cut(line, "|")
	if !ok || !isNumber(core) {
		return false
	}
	app, rest, ok := strings.Cut(rest, "|")
	return ok && isNumber(app) && (strings.HasPrefix(rest, "unix|") || strings.HasPrefix(rest, "tcp|"))
}

func isNumber(s string) bool {
	return s != "" && len(s) < 6 && strings.Trim(s, "0123456789") == ""
}

// parseHandshake checks a handshake line. go-plugin checks it too, but dies of a
// nil pointer when a plugin offers a certificate that nobody asked for.
func parseHandshake(line string) (handshake, error) {
	f := strings.Split(strings.TrimSpace(line), "|")
	if len(f) < 5 {
		return handshake{}, fmt.Errorf("%d fields, want core|app|network|address|protocol", len(f))
	}
	core, err := strconv.Atoi(f[0])
	if err != nil {
		return handshake{}, fmt.Errorf("core protocol version %q is no number", f[0])
	}
	app, err := strconv.Atoi(f[1])
	if err != nil {
		return handshake{}, fmt.Errorf("protocol version %q is no number", f[1])
	}
	h := handshake{core: core, app: app, network: f[2], addr: f[3]}
	switch {
	case h.network != "unix" && h.network != "tcp":
		return h, fmt.Errorf("network %q is neither unix nor tcp", h.network)
	case h.addr == "":
		return h, errors.New("no address")
	case h.network == "unix" && len(h.addr) > maxSocketPath:
		return h, fmt.Errorf("socket path of %d bytes, and %d is the most", len(h.addr), maxSocketPath)
	case f[4] != "grpc":
		return h, fmt.Errorf("protocol %q, want grpc", f[4])
	case len(f) > 5 && f[5] != "":
		return h, errors.New("a TLS certificate that the host didn't ask for")
	}
	return h, nil
}

// String is the line for go-plugin, made anew from what was checked.
func (h handshake) String() string {
	return fmt.Sprintf("%d|%d|%s|%s|grpc\n", h.core, h.app, h.network, h.addr)
}
