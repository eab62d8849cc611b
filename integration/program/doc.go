// Package program has the program and a Python for black-box tests: it builds the one,
// and finds the other.
package program
