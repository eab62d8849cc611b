//go:build unix

package main

import (
	"testing"

	"github.com/snakepit-go/snakepit/plugin/lane/lanetest"
)

func TestGoWorkerConformsOverASocket(t *testing.T) {
	p := startProcess(t, 4)
	lanetest.Run(t, lanetest.Peer{Dial: p.local, Slots: 4})
}

func TestGoWorkerConformsOverGRPC(t *testing.T) {
	p := startProcess(t, 4)
	lanetest.Run(t, lanetest.Peer{Dial: p.grpc, Slots: 4})
}

func TestGoWorkerWithOneSlotConformsOverASocket(t *testing.T) {
	p := startProcess(t, 1)
	lanetest.Run(t, lanetest.Peer{Dial: p.local, Slots: 1})
}
