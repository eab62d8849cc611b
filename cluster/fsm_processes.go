package cluster

import (
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

func (s *state) releaseProcess(c *snakepitv1.ReleaseProcess) outcome {
	delete(s.processes, host.WorkerID(c.GetWorker()))
	return outcome{}
}
