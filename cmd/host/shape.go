package main

import (
	"time"

	"github.com/snakepit-go/snakepit/host"
)

// hostStatus is how a host is, as `status` shows it.
type hostStatus struct {
	Node         string            `json:"node"`
	PID          int               `json:"pid"`
	Version      string            `json:"version"`
	State        string            `json:"state"`
	StartedAt    time.Time         `json:"started_at"`
	Uptime       float64           `json:"uptime"` // seconds
	DataDir      string            `json:"data_dir"`
	SessionCount int               `json:"session_count"`
	Refused      map[string]uint64 `json:"refused"`
	Cluster      *hostCluster      `json:"cluster,omitempty"` // of several nodes
	Pools        []poolStatus      `json:"pools"`
}

// hostCluster is the cluster that a host is a node of, in short.
type hostCluster struct {
	State   string `json:"state"`
	Summary string `json:"summary"`
	Leader  string `json:"leader"`
}

// poolStatus is how a pool is.
type poolStatus struct {
	Name           string            `json:"name"`
	Adapter        string            `json:"adapter"`
	Size           int               `json:"size"`
	MinSize        int               `json:"min_size"`
	MaxSize        int               `json:"max_size"`
	Ready          int               `json:"ready"`
	Starting       int               `json:"starting"`
	Draining       int               `json:"draining"`
	Busy           int               `json:"busy"`
	Slots          int               `json:"slots"`
	Queued         int               `json:"queued"`
	Received       uint64            `json:"received"`
	Open           uint64            `json:"open"`
	Calls          uint64            `json:"calls"`
	OK             uint64            `json:"ok"`
	Errors         map[string]uint64 `json:"errors"`
	Rejected       uint64            `json:"rejected"`
	Retried        uint64            `json:"retried"`
	QueueTime      times             `json:"queue_time"`
	RunTime        times             `json:"run_time"`
	BytesIn        uint64            `json:"bytes_in"`
	BytesOut       uint64            `json:"bytes_out"`
	Replaced       uint64            `json:"replaced"`
	Recycled       map[string]uint64 `json:"recycled"`
	Breaker        breakerStatus     `json:"breaker"`
	LastStartError string            `json:"last_start_error,omitempty"`
	Overrides      map[string]string `json:"overrides"` // what is set for all hosts of the cluster
	Events         []poolEvent       `json:"events,omitempty"`
}

// times is how long things took, in seconds.
type times struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`

	histogram host.Histogram
}

func timesOf(h host.Histogram) times {
	return times{
		Count: h.Count(), Mean: inSeconds(h.Mean()), P50: inSeconds(h.Quantile(0.5)), P90: inSeconds(h.Quantile(0.9)),
		P99: inSeconds(h.Quantile(0.99)), Max: inSeconds(h.Max), histogram: h,
	}
}

// seconds leaves out what the histograms don't tell apart.
func inSeconds(d time.Duration) float64 { return d.Truncate(time.Microsecond).Seconds() }

// breakerStatus is how a pool's circuit breaker stands.
type breakerStatus struct {
	State    string    `json:"state"`
	Failures int       `json:"failures"`
	RetryAt  time.Time `json:"retry_at,omitzero"`
}

// poolEvent is something that happened to a pool.
type poolEvent struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"`
	Worker string    `json:"worker,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

// workerStatus is how a worker is, as `workers` shows it.
type workerStatus struct {
	ID           string    `json:"id"`
	Pool         string    `json:"pool"`
	Node         string    `json:"node"`
	PID          int       `json:"pid"`
	State        string    `json:"state"`
	Slots        int       `json:"slots"`
	Busy         int       `json:"busy"`
	Calls        uint64    `json:"calls"`
	Errors       uint64    `json:"errors"`
	LastError    string    `json:"last_error,omitempty"`
	RunTime      float64   `json:"run_time"` // seconds
	SessionCount int       `json:"session_count"`
	RSSBytes     uint64    `json:"rss_bytes"`
	Devices      []string  `json:"devices"`
	StartedAt    time.Time `json:"started_at"`
	Age          float64   `json:"age"` // seconds
}

// sessionStatus is how a session is, as `sessions` shows it.
type sessionStatus struct {
	ID        string    `json:"id"`
	Pool      string    `json:"pool"`
	Node      string    `json:"node"`
	Worker    string    `json:"worker"`
	Epoch     uint64    `json:"epoch"`
	OpenedAt  time.Time `json:"opened_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Away      bool      `json:"away,omitzero"`
}

func poolOf(p host.PoolStatus) poolStatus {
	out := poolStatus{
		Name: p.Name, Adapter: p.Adapter, Size: p.Size, MinSize: p.MinSize, MaxSize: p.MaxSize,
		Ready: p.Ready, Starting: p.Starting, Draining: p.Draining, Busy: p.Busy, Slots: p.Slots, Queued: p.Queued,
		Received: p.Received, Open: p.Open, Calls: p.Calls, OK: p.OK, Errors: byName(p.Errors), Rejected: p.Rejected, Retried: p.Retried,
		QueueTime: timesOf(p.QueueTime), RunTime: timesOf(p.RunTime), BytesIn: p.BytesIn, BytesOut: p.BytesOut,
		Replaced: p.Replaced, Recycled: byName(p.Recycled), LastStartError: p.LastStartError,
		Breaker: breakerStatus{State: string(p.Breaker.State), Failures: p.Breaker.Failures, RetryAt: p.Breaker.RetryAt},
	}
	for _, e := range p.Events {
		out.Events = append(out.Events, poolEvent{
			At: e.At, Kind: string(e.Kind), Worker: string(e.Worker), Reason: string(e.Reason), Detail: e.Detail,
		})
	}
	return out
}

func workerOf(w host.WorkerStatus) workerStatus {
	return workerStatus{
		ID: string(w.ID), Pool: w.Pool, Node: w.Node, PID: w.Process.PID, State: string(w.State), Slots: w.Slots, Busy: w.Busy,
		Calls: w.Calls, Errors: w.Errors, LastError: string(w.LastError), RunTime: inSeconds(w.RunTime), SessionCount: w.Sessions,
		RSSBytes: w.RSS, Devices: filled(w.Devices), StartedAt: w.StartedAt,
	}
}

func sessionOf(s host.SessionStatus) sessionStatus {
	return sessionStatus{
		ID: string(s.ID), Pool: s.Pool, Node: s.Node, Worker: string(s.Home), Epoch: s.Epoch,
		OpenedAt: s.OpenedAt, ExpiresAt: s.ExpiresAt, Away: s.Away,
	}
}

func byName[K ~string](counts map[K]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(counts))
	for name, n := range counts {
		out[string(name)] = n
	}
	return out
}
