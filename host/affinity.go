package host

import (
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// rank orders affinities, the strictest last; -1: it's none of them.
func (a Affinity) rank() int {
	switch a {
	case "", AffinityHint:
		return 0
	case AffinityStrictQueue:
		return 1
	case AffinityStrictFailFast:
		return 2
	}
	return -1
}

func (a Affinity) valid() bool { return a.rank() >= 0 }

// strict is a, or empty where any worker will do.
func (a Affinity) strict() Affinity {
	if a.rank() > 0 {
		return a
	}
	return ""
}

// Validate fails with invalid_arguments for what is no affinity; an empty one is.
func (a Affinity) Validate() error {
	if a.valid() {
		return nil
	}
	e := errdefs.New(errdefs.InvalidArguments, "affinity %q is none of hint, strict_queue and strict_fail_fast", names.Cut(string(a)))
	e.Path = "affinity"
	return e
}

// asked is the affinity of a call that asks for one: its session's, or a stricter one.
func (a Affinity) asked(call Affinity) (Affinity, error) {
	switch {
	case call == "":
		return a, nil
	case call.rank() < a.rank():
		e := errdefs.New(errdefs.InvalidArguments, "the session is %s, and a call may only be stricter, not %s", a, call)
		e.Path = "affinity"
		return "", e
	}
	return call, nil
}
