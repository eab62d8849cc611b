package cluster

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func TestOnlyWhatThisNodeCantDoIsAnErrorOfRafts(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection refused")
	tests := []struct {
		msg  string
		args []any
		want string
	}{
		{"heartbeat to", []any{"peer", "10.0.0.2:7070", "backoff time", "1s", "error", broken}, "[WARN]"},
		{"make requestVote RPC", []any{"target", "{Voter n2}", "error", broken, "term", 3}, "[WARN]"},
		{"install snapshot", []any{"peer", "n2", "id", "2-1-3", "error", broken}, "[WARN]"},
		{"decode incoming command", []any{"error", broken}, "[WARN]"},
		{"get log", []any{"index", 1, "error", raft.ErrLogNotFound}, "[WARN]"},
		{"get log", []any{"index", 1, "error", broken}, "[ERROR]"},
		{"install snapshot", []any{"error", broken}, "[ERROR]"},
		{"append to logs", []any{"error", broken}, "[ERROR]"},
		{"persist vote", []any{"error", broken}, "[ERROR]"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		log := quiet(hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Trace})).With("node", "n1")
		log.Error("failed"+" to "+tt.msg, tt.args...)
		if !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s %v: %q, want %s", tt.msg, tt.args, out.String(), tt.want)
		}
	}
}
