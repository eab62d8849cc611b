// Package exs reads the literal part of an Elixir configuration script: keyword
// lists, maps, lists, tuples, atoms, strings, numbers, booleans, and System.get_env
// with a default. It evaluates nothing: whatever else stands there is reported with
// its line, and left out.
//
// # Errors
//
// [Read] never fails: what it can't make sense of are [Problem] values. Its work is
// bounded by the length of the script.
package exs
