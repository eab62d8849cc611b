package cluster

import (
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// raftLog is a logger for Raft, which calls news what nobody acts upon: its
// information is for those who debug, and its debugging for those who trace. Nor is it
// an error here that another node can't be reached, or has hung up: that's what the
// registry goes on without, and who looks at the cluster's status hears of it.
type raftLog struct {
	hclog.Logger
}

func quiet(log hclog.Logger) hclog.Logger { return raftLog{log.Named("raft")} }

// Error implements hclog.Logger.
func (l raftLog) Error(msg string, args ...any) {
	if ofOthers(msg, args) {
		l.Warn(msg, args...)
		return
	}
	l.Logger.Error(msg, args...)
}

// Info implements hclog.Logger.
func (l raftLog) Info(msg string, args ...any) { l.Logger.Debug(msg, args...) }

// Debug implements hclog.Logger.
func (l raftLog) Debug(msg string, args ...any) { l.Trace(msg, args...) }

// With implements hclog.Logger.
func (l raftLog) With(args ...any) hclog.Logger { return raftLog{l.Logger.With(args...)} }

// ofOthers reports whether a message of Raft's is about a conversation with another
// node: it names that node, or is one of those about a connection that one opened.
func ofOthers(msg string, args []any) bool {
	about := func(what string) bool { return strings.HasSuffix(msg, " "+what) }
	conversations := []string{"accept connection", "decode incoming command", "flush response", "copy snapshot", "receive whole snapshot"}
	if slices.ContainsFunc(conversations, about) {
		return true
	}
	for i, arg := range args {
		switch key, _ := arg.(string); {
		case i%2 == 0 && (key == "peer" || key == "target"):
			return true
		case i%2 == 1 && about("get log") && isMissing(arg):
			return true // it's in a snapshot, which the other one gets now
		}
	}
	return false
}

func isMissing(arg any) bool {
	err, ok := arg.(error)
	return ok && errors.Is(err, raft.ErrLogNotFound)
}
