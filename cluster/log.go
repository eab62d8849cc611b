package cluster

import "github.com/hashicorp/go-hclog"

// raftLog is a logger for Raft, which calls news what nobody acts upon: its
// information is for those who debug, and its debugging for those who trace.
type raftLog struct {
	hclog.Logger
}

func quiet(log hclog.Logger) hclog.Logger { return raftLog{log.Named("raft")} }

// Info implements hclog.Logger.
func (l raftLog) Info(msg string, args ...any) { l.Logger.Debug(msg, args...) }

// Debug implements hclog.Logger.
func (l raftLog) Debug(msg string, args ...any) { l.Trace(msg, args...) }

// With implements hclog.Logger.
func (l raftLog) With(args ...any) hclog.Logger { return raftLog{l.Logger.With(args...)} }
