package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host/members"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func clusterHostFake() *fakeHost { return &fakeHost{fakeCluster: fakeCluster{cluster: fixedCluster()}} }

// noQuorumCluster is one node of three that is left.
func noQuorumCluster() members.Cluster {
	c := fixedCluster()
	c.Leader, c.Lease, c.Nodes = "", members.Lease{}, c.Nodes[:3]
	c.Nodes[0].Leader, c.Nodes[0].LeaseHeld, c.Nodes[0].Renewed = false, false, nil
	c.Nodes[1].Answers, c.Nodes[1].Status, c.Nodes[2].Answers = false, "up", false
	return c
}

func TestClusterCommandsPrintAsRecorded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	say := func(h *fakeHost, words ...string) {
		o := runOn(t, h, words...)
		b.WriteString("$ snakepit " + strings.Join(words, " ") + "\n" + o.stdout + o.stderr)
		if o.code != 0 {
			b.WriteString("exit " + string(rune('0'+o.code)) + "\n")
		}
		b.WriteString("\n")
	}
	say(clusterHostFake(), "cluster", "status")
	say(&fakeHost{fakeCluster: fakeCluster{cluster: noQuorumCluster()}}, "cluster", "status")
	say(clusterHostFake(), "cluster", "status", "-o", "json")
	say(clusterHostFake(), "cluster", "token")
	say(clusterHostFake(), "cluster", "token", "--uses", "2", "-o", "json")
	say(clusterHostFake(), "cluster", "token", "--uses", "0")
	say(clusterHostFake(), "cluster", "leave")
	say(clusterHostFake(), "cluster", "leave", "-o", "json")
	say(clusterHostFake(), "cluster", "remove", "n2")
	say(clusterHostFake(), "cluster", "remove", "n2", "-o", "json")
	say(clusterHostFake(), "cluster", "forget", "id-d")
	say(clusterHostFake(), "cluster", "transfer")
	say(clusterHostFake(), "cluster", "transfer", "n2", "-o", "json")
	say(clusterHostFake(), "cluster", "transfer", "n1")
	say(clusterHostFake(), "cluster", "remove", "id-")
	say(clusterHostFake(), "cluster", "remove", "n7")
	say(clusterHostFake(), "cluster", "steal")
	for _, e := range refusals() {
		h := clusterHostFake()
		h.err = e
		say(h, "cluster", "remove", "n2")
	}
	alone := clusterHostFake()
	alone.lookErr = errdefs.New(errdefs.Conflict, "this host is no node of a cluster")
	say(alone, "cluster", "status")
	text := regexp.MustCompile(`(?m)^ +\d+\.\d\d s`).ReplaceAllString(b.String(), "  0.00 s")
	golden(t, filepath.Join("testdata", "cluster.txt"), text)
}

// refusals are what operators meet.
func refusals() []error {
	quorum := errdefs.New(errdefs.NoQuorum, "no majority of the voters answers")
	leader := errdefs.New(errdefs.NotLeader, "nobody is known to lead")
	few := errdefs.New(errdefs.Conflict, "without node %q, 1 of 2 voters would be alive", "id-b")
	few.Hint = "bring another one back first"
	unknown := errdefs.New(errdefs.OutcomeUnknown, "the registry lost its leader during the write, and has had none for 2s")
	return []error{quorum, leader, unknown, few}
}

func TestNodeIsFoundByIDNameOrWhatOnlyItsIDBeginsWith(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{"id-b": "id-b", "n2": "id-b", "id-d": "id-d", "n3": "", "id-": "", "": "", "x": ""} {
		n, err := namedNode(t.Context(), clusterHostFake(), word, everyNode)
		if n.ID != want || (err == nil) != (want != "") || err != nil && errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("%q: %q, %v", word, n.ID, err)
		}
	}
	h := clusterHostFake()
	h.cluster.Nodes[0].Name, h.cluster.Nodes[1].ID = "id-d", "longid"
	for word, want := range map[string]string{"id-d": "id-d", "long": "longid"} { // an id goes before a name
		if n, err := namedNode(t.Context(), h, word, everyNode); err != nil || n.ID != want {
			t.Errorf("%q: %q, %v", word, n.ID, err)
		}
	}
}

func everyNode(members.Node) bool { return true }

func TestOfNodesWithOneNameTheCommandsOwnKindIsMeant(t *testing.T) {
	t.Parallel()
	h := clusterHostFake()
	for _, command := range []string{"remove", "forget"} {
		if o := runOn(t, h, "cluster", command, "n3"); o.code != 0 {
			t.Errorf("%s: %s", command, o.stderr)
		}
	}
	if want := []string{"remove id-c", "forget id-d"}; !slices.Equal(h.asked, want) {
		t.Errorf("asked %q, want %q", h.asked, want)
	}
}

func TestStatusOfANodeOfSeveralSaysHowTheClusterIs(t *testing.T) {
	t.Parallel()
	h := clusterHostFake()
	h.status = fixedStatus()
	if o := runOn(t, h, "status"); !strings.Contains(o.stdout, "\ncluster   2 of 3 nodes up, n1 leads") {
		t.Error(o.stdout)
	}
	if o := runOn(t, h, "status", "-o", "json"); !strings.Contains(o.stdout, `"state": "degraded"`) {
		t.Error(o.stdout)
	}
	h.lookErr = errdefs.New(errdefs.Conflict, "this host is no node of a cluster")
	if o := runOn(t, h, "status"); o.code != 0 || strings.Contains(o.stdout, "cluster") {
		t.Errorf("%d %s%s", o.code, o.stdout, o.stderr)
	}
}

func TestClusterCommandsAskTheNodeForIDs(t *testing.T) {
	t.Parallel()
	h := clusterHostFake()
	for _, words := range []string{"remove n2", "forget id-d", "transfer", "transfer n1", "leave", "leave --force", "token --label x"} {
		if o := runOn(t, h, append([]string{"cluster"}, strings.Fields(words)...)...); o.code != 0 {
			t.Errorf("%s: %s", words, o.stderr)
		}
	}
	want := []string{"remove id-b", "forget id-d", "transfer ", "transfer id-a", "leave false", "leave true", `token 1 "x"`}
	if diff := cmp.Diff(want, h.asked); diff != "" {
		t.Error(diff)
	}
}

func TestBackupTakesItsFilesPlaceOnlyWhenItIsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "b")
	h := clusterHostFake()
	h.backup = []byte("first")
	if o := runOn(t, h, "cluster", "backup", path); o.code != 0 || o.stdout != "backed up file="+path+" bytes=5\n" {
		t.Fatalf("%d %q %q", o.code, o.stdout, o.stderr)
	}
	h.backup, h.err = []byte("half of the sec"), errdefs.New(errdefs.HostUnreachable, "the node is gone")
	if o := runOn(t, h, "cluster", "backup", path); o.code != 1 || o.stdout != "" {
		t.Errorf("%d %q", o.code, o.stdout)
	}
	content, err := os.ReadFile(path)
	if err != nil || string(content) != "first" {
		t.Errorf("%q, %v", content, err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	h.err = nil
	if o := runOn(t, h, "cluster", "backup", "-"); o.stdout != "half of the sec" || o.stderr != "" {
		t.Errorf("%q %q", o.stdout, o.stderr)
	}
	if o := runOn(t, h, "cluster", "backup", filepath.Join(dir, "no", "folder")); o.code != 1 {
		t.Errorf("%d %q", o.code, o.stderr)
	}
}

func TestWatchedClusterIsShownEachSecondAlsoWhileItsNodeIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p, _ := bareProgram()
		p.stdout = &out
		h := &wavering{fakeHost: clusterHostFake()}
		ctx, cancel := context.WithCancel(t.Context())
		h.third = cancel
		if err := p.watchCluster(ctx, h); err != nil {
			t.Error(err)
		}
		if text := out.String(); strings.Count(text, "n1 leads") != 1 || strings.Count(text, "host_unreachable: gone") != 1 || h.looks != 3 {
			t.Errorf("%d looks:\n%s", h.looks, text)
		}
	})
}

// wavering answers once, is gone once, and is then not waited for.
type wavering struct {
	*fakeHost

	looks int
	third func()
}

func (h *wavering) Cluster(ctx context.Context) (members.Cluster, error) {
	h.looks++
	switch h.looks {
	case 1:
		return h.fakeHost.Cluster(ctx)
	case 2:
		return members.Cluster{}, errdefs.New(errdefs.HostUnreachable, "gone")
	}
	h.third()
	return members.Cluster{}, ctx.Err()
}

func TestNodesAreCompletedByWhatTheCommandCanUse(t *testing.T) {
	t.Parallel()
	h := clusterHostFake()
	for command, want := range map[string][]string{
		"remove ": {"n1", "n2", "id-c"}, "forget ": {"id-d"}, "transfer ": {"n2", "id-c"}, "remove n2": {"n2"}, "remove id-a": {"id-a"}, "remove n2 ": nil,
	} {
		words := append([]string{"__complete", "--host", "/fake.sock", "cluster"}, strings.Split(command, " ")...)
		o := runWith(t.Context(), t, h, nil, words...)
		var got []string
		for line := range strings.Lines(o.stdout) {
			if name, _, ok := strings.Cut(line, "\t"); ok {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", command, got, want)
		}
	}
}

func TestTextFromNodesCantDriveTheTerminal(t *testing.T) {
	t.Parallel()
	evil := "a\x1b[2J\nb"
	c := members.Cluster{Self: evil, Summary: evil, Nodes: []members.Node{{ID: evil, Name: evil, Status: evil, Address: evil, API: evil, Version: evil, Member: true}}, Warnings: []members.Warning{{Text: evil, Hint: evil}}}
	var b bytes.Buffer
	if err := printCluster(&b, c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String()+stepText(evil, 0), "\x1b") {
		t.Errorf("an escape got through:\n%q", b.String())
	}
}

func TestSessionsOfSeveralNodesSayWhichOneByName(t *testing.T) {
	t.Parallel()
	h := clusterHostFake()
	h.sessions = []sessionStatus{{ID: "a", Node: "id-b"}, {ID: "b", Node: "id-c"}, {ID: "c", Node: "elsewhere"}}
	o := runOn(t, h, "sessions", "-o", "json")
	for _, want := range []string{`"node": "n2"`, `"node": "id-c"`, `"node": "elsewhere"`} { // two are called n3
		if !strings.Contains(o.stdout, want) {
			t.Errorf("no %s in %s", want, o.stdout)
		}
	}
}

func TestHostWhoseNodeHasLeftEndsWell(t *testing.T) {
	t.Parallel()
	h := &fakeHost{status: fixedStatus(), endsWell: true, fakeCluster: fakeCluster{left: true}}
	o := runWith(t.Context(), t, h, nil, "serve", "--adapter", "tools.py")
	if o.code != 0 || !strings.Contains(o.stderr, "has left its cluster") {
		t.Errorf("%d %s", o.code, o.stderr)
	}
	h.left = false
	if o := runWith(t.Context(), t, h, nil, "serve", "--adapter", "tools.py"); o.code != 1 {
		t.Errorf("without having left: %d %s", o.code, o.stderr)
	}
}
