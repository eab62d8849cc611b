package cluster

import (
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func (s *state) openSession(c *snakepitv1.OpenSession, epoch uint64) outcome {
	session := rowFromWire(c.GetSession())
	if known := s.sessions[session.ID]; known != nil {
		return outcome{session: known}
	}
	if s.expired.has(session.ID) {
		return refused(sessionExpired(session.ID))
	}
	if uint64(len(s.sessions)) >= c.GetLimit() {
		return refused(sessionQuota(c.GetLimit()))
	}
	if session.Owner != (Owner{}) {
		if err := s.owns(session.Owner); err != nil {
			return refused(err)
		}
	}
	session.values = nil
	return s.put(session, epoch)
}

func (s *state) bindSession(c *snakepitv1.BindSession, epoch uint64) outcome {
	known, err := s.find(host.SessionID(c.GetId()))
	if err != nil {
		return refused(err)
	}
	if known.Epoch != c.GetFromEpoch() {
		return refused(wrongEpoch(known, c.GetFromEpoch()))
	}
	moved := *known
	moved.Home = host.WorkerID(c.GetHome())
	return s.put(moved, epoch)
}

func (s *state) forgetSession(c *snakepitv1.ForgetSession) outcome {
	id := host.SessionID(c.GetId())
	known := s.sessions[id]
	if known == nil {
		return outcome{}
	}
	if from := c.GetFromEpoch(); from != 0 && known.Epoch != from {
		return refused(wrongEpoch(known, from))
	}
	delete(s.sessions, id)
	delete(s.left, id)
	s.watch.owner(id, known.Owner, Owner{})
	if c.GetExpired() {
		s.expired.add(id)
	}
	return outcome{}
}

// put records a session under a new epoch.
func (s *state) put(session sessionRow, epoch uint64) outcome {
	session.Epoch = epoch
	var before Owner
	if known := s.sessions[session.ID]; known != nil {
		before = known.Owner
	}
	s.sessions[session.ID] = &session
	if before != session.Owner {
		s.watch.owner(session.ID, before, session.Owner)
	}
	return outcome{session: &session}
}

func (s *state) find(id host.SessionID) (*sessionRow, *errdefs.Error) {
	if known := s.sessions[id]; known != nil {
		return known, nil
	}
	if s.expired.has(id) {
		return nil, sessionExpired(id)
	}
	return nil, errdefs.New(errdefs.SessionNotFound, "no session %q", names.Cut(string(id)))
}

func sessionExpired(id host.SessionID) *errdefs.Error {
	e := errdefs.New(errdefs.SessionExpired, "session %q was unused for longer than its time to live", names.Cut(string(id)))
	e.Hint = "go on under a new id"
	return e
}

func sessionQuota(limit uint64) *errdefs.Error {
	e := errdefs.New(errdefs.SessionQuota, "%d sessions are open already", limit)
	e.Hint = "close some, or raise max_sessions"
	return e
}
