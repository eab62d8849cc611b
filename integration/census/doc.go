// Package census finds the processes that belong to a host: by a folder on their
// command line or in their environment, or by the token of a worker, which whatever
// a worker starts inherits. Tests count with it what a death has left, and name with
// it whom they kill: always a pid with its start time, held by a pidfd.
package census
