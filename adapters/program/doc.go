// Package program finds the executables that adapters name, without os/exec, which
// an adapter has no use for. It starts nothing and owns nothing.
package program
