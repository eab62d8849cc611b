package program

import (
	"os"
	"path/filepath"
	"runtime"
)

// OnPath finds a program by its name in the folders of PATH, in their order.
// Relative folders are passed over: what they mean changes with the current one.
func OnPath(name string) (path string, ok bool) {
	for _, d := range filepath.SplitList(os.Getenv("PATH")) {
		p := filepath.Join(d, name)
		if st, err := os.Stat(p); err == nil && filepath.IsAbs(p) && Executable(st) {
			return p, true
		}
	}
	return "", false
}

// Executable reports whether a file can be started, as far as its mode tells.
func Executable(st os.FileInfo) bool {
	return st.Mode().IsRegular() && (runtime.GOOS == "windows" || st.Mode()&0o111 != 0)
}
