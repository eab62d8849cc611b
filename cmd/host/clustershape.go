package main

import "github.com/snakepit-go/snakepit/host/members"

// clusterStatus is how a cluster is, as `cluster status -o json` shows it.
type clusterStatus struct {
	State      string           `json:"state"`
	Summary    string           `json:"summary"`
	Advice     string           `json:"advice"`
	Cluster    string           `json:"cluster"`
	Node       string           `json:"node"`
	Leader     string           `json:"leader"`
	Term       uint64           `json:"term"`
	Last       uint64           `json:"last"`
	Commit     uint64           `json:"commit"`
	Applied    uint64           `json:"applied"`
	Level      uint32           `json:"level"`
	Generation uint64           `json:"generation"`
	Tokens     int              `json:"tokens"`
	Lease      leaseStatus      `json:"lease"`
	Nodes      []nodeStatus     `json:"nodes"`
	Warnings   []clusterWarning `json:"warnings"`
}

// leaseStatus is a node's right to serve sessions.
type leaseStatus struct {
	Held    bool    `json:"held"`
	Endless bool    `json:"endless"`
	Left    float64 `json:"left"` // seconds
}

// nodeStatus is how a node is.
type nodeStatus struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Address     string     `json:"address"`
	APIAddress  string     `json:"api_address"`
	Machine     string     `json:"machine"`
	Status      string     `json:"status"`
	Member      bool       `json:"member"`
	Voter       bool       `json:"voter"`
	Leader      bool       `json:"leader"`
	Answers     bool       `json:"answers"`
	LeaseHeld   bool       `json:"lease_held"`
	Incarnation uint64     `json:"incarnation"`
	Sessions    uint64     `json:"sessions"`
	Applied     uint64     `json:"applied"`
	Behind      uint64     `json:"behind"`
	LeaseAge    *float64   `json:"lease_age"` // seconds
	Version     string     `json:"version"`
	Rules       uint32     `json:"rules"`
	Unverified  int        `json:"unverified"`
	Disk        diskStatus `json:"disk"`
}

// diskStatus is the disk under a node's registry.
type diskStatus struct {
	FreeBytes uint64  `json:"free_bytes"`
	SizeBytes uint64  `json:"size_bytes"`
	WriteTime float64 `json:"write_time"` // seconds
}

// clusterWarning is something that's wrong.
type clusterWarning struct {
	Kind string `json:"kind"`
	Node string `json:"node"`
	Text string `json:"text"`
	Hint string `json:"hint"`
}

func clusterOf(c members.Cluster) clusterStatus {
	out := clusterStatus{
		State: string(c.State), Summary: c.Summary, Advice: c.Advice, Cluster: c.ID, Node: c.Self, Leader: c.Leader, Term: c.Term, Last: c.Last,
		Commit: c.Commit, Applied: c.Applied, Level: c.Level, Generation: c.Generation, Tokens: c.Tokens, Nodes: []nodeStatus{}, Warnings: []clusterWarning{},
		Lease: leaseStatus{Held: c.Lease.Held, Endless: c.Lease.Endless, Left: inSeconds(c.Lease.Left)},
	}
	for _, n := range c.Nodes {
		out.Nodes = append(out.Nodes, nodeOf(c, n))
	}
	for _, w := range c.Warnings {
		out.Warnings = append(out.Warnings, clusterWarning(w))
	}
	return out
}

func nodeOf(c members.Cluster, n members.Node) nodeStatus {
	out := nodeStatus{
		ID: n.ID, Name: n.Name, Address: n.Address, APIAddress: n.API, Machine: n.Machine, Status: n.Status, Member: n.Member, Voter: n.Voter,
		Leader: n.Leader, Answers: n.Answers, LeaseHeld: n.LeaseHeld, Incarnation: n.Incarnation, Sessions: n.Sessions,
		Applied: n.Applied, Behind: c.Lag(n), Version: n.Version, Rules: n.Rules, Unverified: n.Unverified,
		Disk: diskStatus{FreeBytes: n.Disk.Free, SizeBytes: n.Disk.Size, WriteTime: inSeconds(n.Disk.Write)},
	}
	if n.Renewed != nil {
		age := inSeconds(*n.Renewed)
		out.LeaseAge = &age
	}
	return out
}
