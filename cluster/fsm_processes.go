package cluster

import (
	"maps"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func (s *state) claimProcess(c *snakepitv1.ClaimProcess, epoch uint64) outcome {
	p := processFromWire(c.GetProcess())
	if _, known := s.processes[p.Worker]; !known && len(s.processes) >= maxProcesses {
		return refused(errdefs.New(errdefs.QueueFull, "there are %d records of processes already", maxProcesses))
	}
	p.Epoch = epoch
	s.processes[p.Worker] = &p
	return outcome{process: &p}
}

// unverified reports whether the start of a node isn't there any more that claimed a
// process. What became of it is known to those on its machine.
func (s *state) unverified(p *host.ProcessRecord) bool {
	return p.Owner.Node != "" && !s.present(p.Owner.Node, p.Owner.Incarnation)
}

// forgetProcesses forgets those of a node that is forgotten itself.
func (s *state) forgetProcesses(node string) {
	maps.DeleteFunc(s.processes, func(_ host.WorkerID, p *host.ProcessRecord) bool { return p.Owner.Node == node })
}

func (s *state) releaseProcess(c *snakepitv1.ReleaseProcess) outcome {
	delete(s.processes, host.WorkerID(c.GetWorker()))
	return outcome{}
}
