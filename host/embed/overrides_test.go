//go:build unix

package embed_test

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// pool is how the one pool of a host is.
func pool(sp *embed.Host) host.PoolStatus { return sp.Status().Pools[0] }

// overridden are the knobs that are set for all hosts and hold on this one.
func overridden(sp *embed.Host) string {
	var all []string
	for _, o := range sp.PoolOverrides() {
		if o.Holds {
			all = append(all, o.Knob+"="+o.Value)
		}
	}
	return strings.Join(all, " ")
}

func TestKnobsSetForAllHostsOutliveAReloadAndAStart(t *testing.T) {
	t.Parallel()
	f := newConfigFile(t)
	f.write(t, "adapter: adapter.py:Tools\npool_size: 1\n")
	cfg := embed.Config{File: f.path, DataDir: t.TempDir(), Serve: true}
	sp := start(t, cfg)
	c, err := client.Dial(t.Context(), sp.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	old := sp.Workers("")[0].ID
	set, odd, err := c.SetPoolOverrides(t.Context(), "default", map[string]string{"default_pool_size": "2", "max_workers": "5"})
	if err != nil || set["pool_size"] != "2" || len(set) != 2 || len(odd) != 0 {
		t.Fatalf("%v, %v, %v", set, odd, err)
	}
	await(t, "two workers", func() bool { return pool(sp).Ready == 2 && overridden(sp) == "max_workers=5 pool_size=2" })
	if !slices.Contains(readyWorkers(sp), old) {
		t.Error("the worker that was there was replaced")
	}

	f.write(t, "adapter: adapter.py:Tools\npool_size: 3\nqueue_size: 7\n")
	got, err := sp.ReloadConfig(t.Context())
	if err != nil || len(got.Changes) != 1 || got.Changes[0].Knob != "queue_size" || pool(sp).Size != 2 {
		t.Errorf("a reload: %+v, %v; size %d", got, err, pool(sp).Size)
	}
	st, err := c.Status(t.Context())
	if err != nil || st.GetPools()[0].GetOverrides()["pool_size"] != "2" {
		t.Errorf("%v, %v", st, err)
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}

	sp = start(t, cfg)
	if pool(sp).Size != 2 || pool(sp).Ready != 2 || overridden(sp) != "max_workers=5 pool_size=2" {
		t.Errorf("started again: size %d, %s", pool(sp).Size, overridden(sp))
	}
	if removed, err := sp.UnsetPoolOverrides(t.Context(), "default", "default_pool_size", "queue_size"); err != nil || !slices.Equal(removed, []string{"pool_size"}) {
		t.Errorf("unset %v, %v", removed, err)
	}
	await(t, "three workers, as the file has it", func() bool { return pool(sp).Ready == 3 })
	if removed, err := sp.UnsetPoolOverrides(t.Context(), "default"); err != nil || !slices.Equal(removed, []string{"max_workers"}) || len(sp.PoolOverrides()) != 0 {
		t.Errorf("unset %v, %v; left %v", removed, err, sp.PoolOverrides())
	}
}

func TestKnobsThatCannotBeSetForAllHostsChangeNothing(t *testing.T) {
	t.Parallel()
	cfg := config(t, "min_size=2", "max_size=4")
	cfg.DataDir = t.TempDir()
	sp := start(t, cfg)
	before := map[string]string{"queue_size": "9"}
	if _, err := sp.SetPoolOverrides(t.Context(), "default", before); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		pool  string
		knobs map[string]string
		want  errdefs.Reason
		text  string
	}{
		"a pool that's nowhere": {"defaul", map[string]string{"queue_size": "1"}, errdefs.PoolNotFound, "did you mean default?"},
		"nothing":               {"default", nil, errdefs.InvalidArguments, ""},
		"a misspelt knob":       {"default", map[string]string{"queue_siz": "1"}, errdefs.InvalidConfig, "did you mean queue_size?"},
		"a knob of workers":     {"default", map[string]string{"adapter": "other.py"}, errdefs.InvalidConfig, "these can be set for all hosts: "},
		"one wrong of two":      {"default", map[string]string{"queue_size": "1", "pool_size": "-1"}, errdefs.InvalidConfig, "outside its range"},
		"against the host's":    {"default", map[string]string{"queue_size": "1", "max_size": "1"}, errdefs.InvalidConfig, "max_size"},
	} {
		_, err := sp.SetPoolOverrides(t.Context(), tt.pool, tt.knobs)
		e := errdefs.Of(err)
		if errdefs.ReasonOf(err) != tt.want || !strings.Contains(e.Message+e.Hint, tt.text) {
			t.Errorf("%s: %v (%s)", name, err, e.Hint)
		}
	}
	if _, err := sp.UnsetPoolOverrides(t.Context(), "default", "queue_siz"); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("unset of a misspelt knob: %v", err)
	}
	if _, err := sp.UnsetPoolOverrides(t.Context(), "other"); errdefs.ReasonOf(err) != errdefs.PoolNotFound {
		t.Errorf("unset of a pool that's nowhere: %v", err)
	}
	if got := sp.PoolOverrides(); len(got) != 1 || got[0].Knob != "queue_size" || got[0].Value != "9" {
		t.Errorf("set are %+v", got)
	}
}

func TestKnobsThatNeedEachOtherAreSetAndUnsetTogether(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.DataDir = t.TempDir()
	sp := start(t, cfg)
	if _, err := sp.SetPoolOverrides(t.Context(), "default", map[string]string{"min_size": "1"}); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("a least size of a pool that is fixed: %v", err)
	}
	if _, err := sp.SetPoolOverrides(t.Context(), "default", map[string]string{"min_size": "1", "max_size": "3"}); err != nil {
		t.Fatal(err)
	}
	await(t, "both bounds", func() bool { return pool(sp).MinSize == 1 && pool(sp).MaxSize == 3 })
	if _, err := sp.UnsetPoolOverrides(t.Context(), "default", "max_size"); errdefs.ReasonOf(err) != errdefs.InvalidConfig || !strings.Contains(err.Error(), "min_size") {
		t.Errorf("unset of what another needs: %v", err)
	}
	if removed, err := sp.UnsetPoolOverrides(t.Context(), "default"); err != nil || len(removed) != 2 {
		t.Errorf("unset %v, %v", removed, err)
	}
	await(t, "the fixed size", func() bool { return pool(sp).MinSize == 2 && pool(sp).MaxSize == 2 })
}

func TestAHostThatKeepsNothingHasNoKnobsForAll(t *testing.T) {
	t.Parallel()
	sp := start(t, config(t))
	if _, err := sp.SetPoolOverrides(t.Context(), "default", map[string]string{"pool_size": "1"}); errdefs.ReasonOf(err) != errdefs.Conflict {
		t.Errorf("set: %v", err)
	}
	if got := sp.PoolOverrides(); len(got) != 0 {
		t.Errorf("it has %v", got)
	}
}

// lines is a log that may be read while it's written.
type lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestAHostNamesTheKnobsThatItCannotTakeAndTakesTheRest(t *testing.T) {
	t.Parallel()
	log := &lines{}
	cfg := nodeConfig(t, write(t, adapter), "max_workers=2")
	cfg.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: log})
	sp := start(t, cfg)
	wrong := map[string]string{"pool_size": "5", "min_size": "4", "warp_factor": "9", "queue_size": "3"} // as another host takes them
	if err := sp.Cluster().SetPoolOverride(t.Context(), "default", wrong); err != nil {
		t.Fatal(err)
	}
	if err := sp.Cluster().SetPoolOverride(t.Context(), "elsewhere", map[string]string{"queue_size": "3"}); err != nil {
		t.Fatal(err)
	}
	await(t, "what it can take", func() bool { return overridden(sp) == "pool_size=5 queue_size=3" && pool(sp).Ready == 2 })
	await(t, "its warnings", func() bool {
		text := log.String()
		return strings.Contains(text, "override: min_size: ") && strings.Contains(text, "override: warp_factor: ") && strings.Contains(text, "override: pool_size: it's more than max_workers")
	})
	for _, o := range sp.PoolOverrides() {
		if o.Note == "" && o.Knob != "queue_size" || o.Pool == "elsewhere" && (o.Holds || o.Own != "") {
			t.Errorf("%+v", o)
		}
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	sp = start(t, cfg)
	if overridden(sp) != "pool_size=5 queue_size=3" || pool(sp).Size != 2 {
		t.Errorf("started again: size %d, %s", pool(sp).Size, overridden(sp))
	}
	for _, name := range []string{"default", "elsewhere"} {
		if _, err := sp.UnsetPoolOverrides(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	await(t, "its own size", func() bool { return pool(sp).Size == 1 && len(sp.PoolOverrides()) == 0 })
}

func TestKnobsReachAllNodesAndWaitForAMajority(t *testing.T) {
	t.Parallel()
	source := write(t, adapter)
	first := startNode(t, source)
	second := startNode(t, source, first)
	if _, err := second.SetPoolOverrides(t.Context(), "default", map[string]string{"pool_size": "2"}); err != nil {
		t.Fatal(err)
	}
	for _, sp := range []*embed.Host{first, second} {
		await(t, "two workers", func() bool { return pool(sp).Ready == 2 && overridden(sp) == "pool_size=2" })
	}
	if err := first.Close(); err != nil { // which alone votes
		t.Fatal(err)
	}
	if _, err := second.SetPoolOverrides(t.Context(), "default", map[string]string{"pool_size": "3"}); errdefs.ReasonOf(err) != errdefs.NoQuorum {
		t.Errorf("without a majority: %v", err)
	}
	if pool(second).Size != 2 {
		t.Errorf("its size is %d", pool(second).Size)
	}
}
