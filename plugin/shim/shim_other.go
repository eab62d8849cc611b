//go:build !linux

package shim

// Supported reports whether this system has guards and shims.
func Supported() bool { return false }

// InUse reports whether a pair lives in a folder: there are none here.
func InUse(string) bool { return false }
