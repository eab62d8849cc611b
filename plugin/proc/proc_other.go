//go:build !linux

package proc

// Identify names a process by its pid alone: there is no start time here.
func Identify(pid int) (ID, error) { return ID{PID: pid}, nil }

// Gone is unknown here.
func Gone(ID) bool { return false }

// All finds nobody.
func All() ([]Stat, error) { return nil, nil }

// ResidentBytes is unknown here.
func ResidentBytes(int) uint64 { return 0 }

// Getenv is unknown here.
func Getenv(int, string) string { return "" }

// CommandLine is unknown here.
func CommandLine(int) string { return "" }

// Kill signals nobody: nobody can be verified.
func Kill(ID) bool { return false }

// BootID is unknown here.
func BootID() string { return "" }

// MachineID is unknown here.
func MachineID() string { return "" }

// PIDNamespace is unknown here.
func PIDNamespace() string { return "" }
