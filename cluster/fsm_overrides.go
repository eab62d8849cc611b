package cluster

import (
	"maps"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// The limits of what pools are configured as. They stand in the rules: all nodes
// have the same.
const (
	maxOverrides     = 256 // pools
	maxKnobs         = 32  // of one pool
	maxOverrideBytes = 4 << 10
)

func (s *state) setPoolOverride(c *snakepitv1.SetPoolOverride) outcome {
	if err := checkOverride(c.GetPool(), c.GetKnobs()); err != nil {
		return refused(err)
	}
	if err := checkOverride(c.GetPool(), c.GetFormer()); err != nil {
		return refused(err)
	}
	former, known := s.overrides[c.GetPool()]
	switch {
	case c.GetCompare() && !maps.Equal(former, c.GetFormer()):
		return refused(errdefs.New(errdefs.Conflict, "the knobs of pool %q have changed meanwhile", names.Cut(c.GetPool())))
	case len(c.GetKnobs()) == 0:
		delete(s.overrides, c.GetPool())
	case !known && len(s.overrides) >= maxOverrides:
		return refused(errdefs.New(errdefs.QueueFull, "%d pools have knobs of their own already", maxOverrides))
	default:
		s.overrides[c.GetPool()] = c.GetKnobs()
	}
	signal(s.overridden)
	return outcome{}
}

func checkOverride(pool string, knobs map[string]string) *errdefs.Error {
	size := 0
	for knob, value := range knobs {
		size += len(knob) + len(value)
		if knob == "" {
			return errdefs.New(errdefs.InvalidArguments, "a knob of pool %q has no name", names.Cut(pool))
		}
	}
	if err := names.CheckID("pool", pool); err != nil {
		return errdefs.Of(err)
	}
	if len(knobs) > maxKnobs || size > maxOverrideBytes {
		return errdefs.New(errdefs.PayloadTooLarge, "pool %q is to have %d knobs of %d bytes, where %d and %d are the limits",
			names.Cut(pool), len(knobs), size, maxKnobs, maxOverrideBytes)
	}
	return nil
}
