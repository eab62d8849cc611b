package host

import (
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// Availability is what becomes of a session when its node can't be reached.
type Availability string

// The availabilities.
const (
	// AvailabilityStrict has another node own the session once its own has no lease any
	// more: it's available, and owned by at most one node at any moment.
	AvailabilityStrict Availability = "strict"
	// AvailabilityLocal ties the session to its node for as long as that is a member,
	// with a lease or without: nobody else ever owns it meanwhile, so that its calls
	// there go on when the node is cut off, but for changes of its state.
	AvailabilityLocal Availability = "local"
)

// local reports whether the session stays with its node, with a lease or without.
func (s Session) local() bool { return s.Availability == AvailabilityLocal }

// Validate fails with invalid_arguments for what is no availability; an empty one is.
func (a Availability) Validate() error {
	switch a {
	case "", AvailabilityStrict, AvailabilityLocal:
		return nil
	}
	e := errdefs.New(errdefs.InvalidArguments, "availability %q is neither strict nor local", names.Cut(string(a)))
	e.Path = "availability"
	return e
}
