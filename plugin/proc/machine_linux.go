package proc

import (
	"os"
	"strings"
)

// BootID tells this run of the kernel from any other; empty when it can't be read.
func BootID() string { return word("/proc/sys/kernel/random/boot_id") }

// MachineID names this installation; empty where it has no name.
func MachineID() string { return word("/etc/machine-id") }

// PIDNamespace names the namespace that our pids are counted in.
func PIDNamespace() string {
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return ns
}

func word(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
