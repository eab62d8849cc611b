package shim

import "github.com/snakepit-go/snakepit/plugin/proc"

// StaleCgroup is the cgroup of a guard that is gone: nobody keeps what is in it.
type StaleCgroup struct {
	Path   string
	Strays []Stray // whatever is still in it, or in one below
}

// Stray is a process that a worker has left, in its cgroup.
type Stray struct {
	proc.ID

	Command string // for people
	Alive   bool

	file string // which names it
}
