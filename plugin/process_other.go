//go:build !linux

package plugin

import "github.com/snakepit-go/snakepit/host"

func awaitExit(int) {}

func limit(int) {}

func identify(pid int) host.Process { return host.Process{PID: pid} }

func residentBytes(int) uint64 { return 0 }
