// Package members is a cluster as an operator looks at it: which nodes there are,
// how each of them is, whether they work together, what is wrong, and what to do
// about that. [Cluster.Judge] finds the latter out, as a pure function of the former.
//
// It doesn't know where the facts come from: host/rpc gathers them from the nodes,
// and programs get them over the wire.
//
// # Concurrency
//
// There is nothing to share: all types are values.
//
// # Errors
//
// There are none. What a node of another version says and this one doesn't know is
// left out.
package members
