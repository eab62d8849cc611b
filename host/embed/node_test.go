//go:build unix

package embed_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/cluster/link"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// clustered is an adapter whose sessions can be told apart from one worker to the next.
const clustered = `
import os
from snakepit import Adapter, Context, tool

class Tools(Adapter):
    def setup(self) -> None:
        self.memory = {}

    def on_session_restore(self, session, saved) -> None:
        self.memory[session.id] = list(saved.decode().split(",")) if saved else ["restored"]

    def on_session_save(self, session) -> bytes:
        return ",".join(self.memory.get(session.id, [])).encode()

    @tool
    def note(self, ctx: Context, word: str) -> dict:
        words = self.memory.setdefault(ctx.session.id, [])
        words.append(word)
        ctx.session.state["last"] = word
        return {"pid": os.getpid(), "words": words}

    @tool
    def last(self, ctx: Context) -> dict:
        return {"pid": os.getpid(), "last": ctx.session.state.get("last"), "words": self.memory.get(ctx.session.id, [])}

    @tool
    def plain(self) -> int:
        return 1

    @tool
    def ask(self, ctx: Context, x: int) -> int:
        return ctx.host.double(x=x)
`

// told is what these tools give.
type told struct {
	PID   int      `msgpack:"pid"`
	Words []string `msgpack:"words"`
	Last  string   `msgpack:"last"`
}

// startNode starts a host as a node, which joins those that are given.
func startNode(t *testing.T, source string, members ...*embed.Host) *embed.Host {
	t.Helper()
	var join []string
	for _, m := range members {
		join = append(join, "join="+m.ClusterAddress())
	}
	if len(members) > 0 {
		join = append(join, "join_token="+newToken(t, members[0]))
	}
	sp, err := embed.Start(t.Context(), nodeConfig(t, source, join...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sp.Close() })
	return sp
}

// newToken makes a token for one more node.
func newToken(t *testing.T, member *embed.Host) string {
	t.Helper()
	token := link.NewToken([sha256.Size]byte{})
	if err := member.Cluster().AddToken(t.Context(), cluster.Token{Hash: token.SecretHash(), Uses: 1}); err != nil {
		t.Fatal(err)
	}
	return token.String()
}

func nodeConfig(t *testing.T, source string, knobs ...string) embed.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	set := []string{"python=" + interpreter(t), "cluster_listen=127.0.0.1:0", "machine_id=" + dir[len(dir)-8:]}
	return embed.Config{Adapter: source + ":Tools", Workers: 1, DataDir: dir, Set: append(set, knobs...)}
}

func TestNobodyJoinsWithoutATokenOfTheCluster(t *testing.T) {
	t.Parallel()
	source := write(t, clustered)
	first := startNode(t, source)
	joining := "join=" + first.ClusterAddress()
	spent := newToken(t, first)
	for _, tt := range []struct {
		knobs []string
		want  errdefs.Reason
	}{
		{[]string{joining}, errdefs.PermissionDenied},
		{[]string{joining, "join_token=" + link.NewToken([sha256.Size]byte{}).String()}, errdefs.PermissionDenied},
		{[]string{joining, "join_token=" + spent}, ""},
		{[]string{joining, "join_token=" + spent}, errdefs.PermissionDenied},
	} {
		sp, err := embed.Start(t.Context(), nodeConfig(t, source, tt.knobs...))
		if err == nil {
			t.Cleanup(func() { _ = sp.Close() })
		}
		if got := errdefs.ReasonOf(err); got != tt.want {
			t.Errorf("%v: %v, want %q", tt.knobs, err, tt.want)
		}
		var e *errdefs.Error
		if errors.As(err, &e) && !strings.Contains(e.Hint, "snakepit cluster token") {
			t.Errorf("it doesn't say where a token is had: %q", e.Hint)
		}
	}
}

func TestSessionIsServedThroughEveryNodeAndMovesWhenItsOwnerStops(t *testing.T) {
	t.Parallel()
	source := write(t, clustered)
	first := startNode(t, source)
	second := startNode(t, source, first)
	third := startNode(t, source, first)
	if first.Cluster().ID() == second.Cluster().ID() || len(third.Cluster().Overview().Members) != 3 {
		t.Fatalf("members: %+v", third.Cluster().Overview().Members)
	}
	session := snakepit.Session("s")
	var got told
	for i, sp := range []snakepit.Caller{first, second, third} {
		if err := sp.Call(t.Context(), "note", map[string]string{"word": string(rune('a' + i))}, &got, session); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Join(got.Words, "") != "abc" {
		t.Errorf("its worker remembers %v: it isn't one worker that was called", got.Words)
	}
	home := got.PID
	remote, err := client.Dial(t.Context(), first.ClusterAddress()+","+second.ClusterAddress()+","+third.ClusterAddress())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = remote.Close() })
	if err := remote.Call(t.Context(), "last", nil, &got, session); err != nil || got.PID != home || got.Last != "c" {
		t.Errorf("through the network: %+v, %v", got, err)
	}
	if err := second.Offer(t.Context(), snakepit.HostTool{
		Name: "double", Func: func(_ context.Context, args []byte) ([]byte, error) {
			var in struct{ X int }
			if err := snakepit.DecodeResult(args, &in); err != nil {
				return nil, err
			}
			return snakepit.EncodeArgs(map[string]int{"twice": 2 * in.X})
		},
	}); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil { // it owned the session: it was opened there
		t.Errorf("its owner stopped with %v", err)
	}
	for _, sp := range []snakepit.Caller{second, third, remote} {
		if err := sp.Call(t.Context(), "last", nil, &got, session); err != nil || got.PID == home || got.Last != "c" || strings.Join(got.Words, "") != "abc" {
			t.Errorf("after its owner stopped: %+v, %v", got, err)
		}
	}
}

func TestNodeLeavesForGoodAndTheLastOneCannot(t *testing.T) {
	t.Parallel()
	source := write(t, clustered)
	first := startNode(t, source)
	second := startNode(t, source, first)
	if err := second.Call(t.Context(), "note", map[string]string{"word": "a"}, nil, snakepit.Session("s")); err != nil {
		t.Fatal(err)
	}
	if err := second.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got told
	if err := first.Call(t.Context(), "last", nil, &got, snakepit.Session("s")); err != nil || got.Last != "a" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := first.Leave(t.Context()); errdefs.ReasonOf(err) != errdefs.Conflict {
		t.Errorf("the last one: %v", err)
	}
	if err := first.Call(t.Context(), "last", nil, &got, snakepit.Session("s")); err != nil {
		t.Errorf("it went all the same: %v", err)
	}
}

func TestNodeDoesNotBeginToLeaveWithoutAMajority(t *testing.T) {
	t.Parallel()
	source := write(t, clustered)
	first := startNode(t, source)
	second := startNode(t, source, first)
	if err := first.Close(); err != nil { // which alone votes
		t.Fatal(err)
	}
	err := second.Leave(t.Context())
	if errdefs.ReasonOf(err) != errdefs.NoQuorum {
		t.Errorf("it leaves: %v", err)
	}
	if second.Left() {
		t.Error("it says that it left")
	}
	if err := second.Call(t.Context(), "plain", nil, nil); err != nil {
		t.Errorf("a call without a session: %v", err)
	}
}

func TestNodeNeedsADataDirectoryAndCertificatesBeyondLoopback(t *testing.T) {
	t.Parallel()
	cfg := config(t, "cluster_listen=127.0.0.1:0")
	if _, err := embed.Start(t.Context(), cfg); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("without a data directory: %v", err)
	}
	cfg = config(t, "cluster_listen=0.0.0.0:0")
	cfg.DataDir = t.TempDir()
	if _, err := embed.Start(t.Context(), cfg); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("beyond loopback: %v", err)
	}
}

func TestProgramsMoveSessionsToNodesOfTheirChoice(t *testing.T) {
	t.Parallel()
	source := write(t, clustered)
	first := startNode(t, source)
	second := startNode(t, source, first)
	for _, id := range []string{"s1", "s2", "s3", "s4"} {
		if err := first.Call(t.Context(), "note", map[string]string{"word": "a"}, nil, snakepit.Session(id)); err != nil {
			t.Fatal(err)
		}
	}
	if from, err := second.MoveSession(t.Context(), "s4", second.Cluster().ID()); err != nil || from != first.Cluster().ID() {
		t.Errorf("from %s, %v", from, err)
	}
	var moved []host.Shift
	err := second.Rebalance(t.Context(), embed.Rebalance{Done: func(s host.Shift, err error) {
		if err != nil {
			t.Error(err)
		}
		moved = append(moved, s)
	}})
	if err != nil || len(moved) != 1 {
		t.Errorf("%v, %v", moved, err)
	}
	for _, id := range []string{"s4", string(moved[0].Session)} {
		var got told
		if err := first.Call(t.Context(), "last", nil, &got, snakepit.Session(id)); err != nil || strings.Join(got.Words, "") != "a" {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
}
