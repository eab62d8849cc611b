package cluster

import (
	"cmp"
	"context"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// maxPlaces is for how many sessions a node may ask for a place at once.
const maxPlaces = 10_000

// Self implements host.OwnerRegistry. A host that is no node of several is nobody,
// and holds for ever: there's nobody else. A node that has lost its lease stays who it
// was until it's registered anew: what never leaves it ([host.AvailabilityLocal]) is
// still its own, by the node's id.
func (n *Node) Self() (self Owner, holds bool) {
	if n.mesh == nil {
		return Owner{}, true
	}
	s := n.mesh.standing.Load()
	if s == nil {
		return Owner{}, false
	}
	return s.self, s.lease.Valid(n.cfg.Clock.Now())
}

// Place finds other nodes that have room for sessions of a pool, one for each of at
// most 10,000, and fewer where there's less. The room is taken until that node's
// next renewal. It asks the leader, and waits up to 2 s for there to be one. A host
// that is no node of several gets none. Errors: no_quorum; deadline; cancelled.
func (n *Node) Place(ctx context.Context, pool string, sessions int) ([]Owner, error) {
	if err := n.check(ctx); err != nil || n.mesh == nil || sessions <= 0 {
		return nil, err
	}
	r := &snakepitv1.PlaceRequest{Id: n.ID(), Pool: pool, Sessions: uint32(min(sessions, maxPlaces))} //nolint:gosec // it's positive
	end := time.Now().Add(n.timing.of(holdWait))
	for {
		_, changed := n.mesh.sign.leader()
		response, err := n.mesh.place(ctx, r)
		if err == nil {
			return dealt(response.GetPlaces()), nil
		}
		if ctx.Err() != nil {
			return nil, gaveUp(ctx, false)
		}
		if decided(err) {
			return nil, err
		}
		if time.Now().After(end) {
			return nil, errdefs.Wrap(errdefs.NoQuorum, err, "nobody says where there's room")
		}
		n.mesh.pause(ctx, retryWait, changed)
	}
}

// dealt turns room into one owner for each session, in turns, so that whoever uses
// only the first few has them spread as well.
func dealt(places []*snakepitv1.NodePlace) []Owner {
	var all []Owner
	for round := uint32(0); ; round++ {
		before := len(all)
		for _, p := range places {
			if round < p.GetSessions() {
				all = append(all, Owner{Node: p.GetId(), Incarnation: p.GetIncarnation()})
			}
		}
		if len(all) == before || len(all) >= maxPlaces {
			return all
		}
	}
}

func (m *mesh) place(ctx context.Context, r *snakepitv1.PlaceRequest) (response *snakepitv1.PlaceResponse, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.n.timing.of(askWait))
	defer cancel()
	if o := m.office.Load(); o != nil {
		return o.place(r), nil
	}
	err = m.atLeader(ctx, func(ctx context.Context, c snakepitv1.NodeClient) error {
		response, err = c.Place(ctx, r)
		return err
	})
	return response, err
}

// place takes room from whoever has most of it, session by session.
func (o *office) place(r *snakepitv1.PlaceRequest) *snakepitv1.PlaceResponse {
	pool, pick := r.GetPool(), map[string]*snakepitv1.NodePlace{}
	candidates := o.candidates()
	response := &snakepitv1.PlaceResponse{}
	for range min(r.GetSessions(), maxPlaces) {
		best := -1
		for i, c := range candidates {
			if c.owner.Node != r.GetId() && c.pools[pool] > 0 && (best < 0 || cmp.Less(candidates[best].pools[pool], c.pools[pool])) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		to := candidates[best].owner
		candidates[best].pools[pool]--
		if pick[to.Node] == nil {
			pick[to.Node] = &snakepitv1.NodePlace{Id: to.Node, Incarnation: to.Incarnation}
			response.Places = append(response.Places, pick[to.Node])
		}
		pick[to.Node].Sessions++
	}
	o.take(pool, response.GetPlaces())
	return response
}

// take keeps room from being given out twice before its node renews.
func (o *office) take(pool string, places []*snakepitv1.NodePlace) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range places {
		if w := o.watched[p.GetId()]; w != nil && w.incarnation == p.GetIncarnation() && w.pools != nil {
			w.pools[pool] -= min(w.pools[pool], p.GetSessions())
		}
	}
}

// Place implements [snakepitv1.NodeServer].
func (s *server) Place(_ context.Context, r *snakepitv1.PlaceRequest) (*snakepitv1.PlaceResponse, error) {
	o, err := s.office()
	if err != nil {
		return nil, err
	}
	return o.place(r), nil
}
