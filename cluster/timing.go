package cluster

import (
	"context"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// The timing profiles: see [Config.Timing].
const (
	TimingLAN  = "lan"
	TimingSlow = "slow"
	TimingWAN  = "wan"
)

const (
	// heartbeat is after how long without its leader a node stands for election.
	heartbeat = 300 * time.Millisecond
	// leaderLease is after how long without a majority a leader steps down.
	leaderLease = 250 * time.Millisecond
)

// timing is a profile: all bounds that hang together are those of a fast network, so
// many times longer. So whatever was shown of them for one profile holds for each.
type timing struct {
	name   string
	factor time.Duration
}

// timingOf finds a profile; empty is the fast network's.
func timingOf(name string) (timing, error) {
	switch name {
	case "", TimingLAN:
		return timing{TimingLAN, 1}, nil
	case TimingSlow:
		return timing{TimingSlow, 3}, nil
	case TimingWAN:
		return timing{TimingWAN, 6}, nil
	}
	return timing{}, errdefs.New(errdefs.InvalidConfig, "timing %q is neither %s, %s nor %s", name, TimingLAN, TimingSlow, TimingWAN)
}

// Patience is a time on a fast network as it is under a timing profile; one that isn't
// known is the fast network's.
func Patience(profile string, d time.Duration) time.Duration {
	t, err := timingOf(profile)
	if err != nil {
		return d
	}
	return t.of(d)
}

func (t timing) of(d time.Duration) time.Duration { return t.factor * d }

// granted is what a node has whose renewal, sent at an instant of its own clock, was
// granted. It has less than the leader thinks, since a message isn't received before
// it's sent.
func (t timing) granted(incarnation uint64, sent time.Duration, alone bool) Lease {
	if alone {
		return Lease{Incarnation: incarnation, Deadline: Forever}
	}
	return Lease{Incarnation: incarnation, Deadline: sent + t.of(leaseTTL)}
}

// deadAt is when a leader may be sure that a lease has ended whose renewal it received at an
// instant of its clock: clocks run apart by less than a tenth.
func (t timing) deadAt(received time.Duration) time.Duration {
	return received + t.of(leaseTTL+leaseGrace)
}

// timingKey is under what a node that joins says its profile.
const timingKey = "snakepit-timing"

func (t timing) said(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, timingKey, t.name)
}

// check refuses a node whose bounds are others than those here: the leader would
// declare it down while its own lease lasts, or wait for nothing.
func (t timing) check(ctx context.Context, id string) error {
	for _, theirs := range metadata.ValueFromIncomingContext(ctx, timingKey) {
		if theirs != t.name {
			e := errdefs.New(errdefs.InvalidConfig, "node %q has the timing %q, and the cluster %q", names.Cut(id), names.Cut(theirs), t.name)
			e.Hint = "all nodes of a cluster need the same; to change it, stop all of them first"
			return e
		}
	}
	return nil
}
