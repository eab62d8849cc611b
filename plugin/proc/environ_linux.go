package proc

import (
	"bytes"
	"os"
	"strconv"
)

// Getenv is a variable of the environment that a process was started with; empty
// when it has none, or its environment can't be read.
func Getenv(pid int, name string) string {
	for kv := range bytes.SplitSeq(environ(pid), []byte{0}) {
		if value, ok := bytes.CutPrefix(kv, []byte(name+"=")); ok {
			return string(value)
		}
	}
	return ""
}

// environ reads a process's environment. When its first thread has ended, only the
// others still show it.
func environ(pid int) []byte {
	dir := "/proc/" + strconv.Itoa(pid)
	if env, err := os.ReadFile(dir + "/environ"); err == nil && len(env) > 0 {
		return env
	}
	threads, err := os.ReadDir(dir + "/task")
	if err != nil {
		return nil
	}
	for _, t := range threads {
		if env, err := os.ReadFile(dir + "/task/" + t.Name() + "/environ"); err == nil && len(env) > 0 {
			return env
		}
	}
	return nil
}

// CommandLine is a process's command line, its words parted by spaces, for people.
func CommandLine(pid int) string {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	return string(bytes.ReplaceAll(bytes.TrimRight(line, "\x00"), []byte{0}, []byte{' '}))
}
