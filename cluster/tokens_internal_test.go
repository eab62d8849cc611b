package cluster

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestTokenLetsAsManyNodesJoinAsItSays(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, func(r *rig) {
		n1 := r.nodes["n1"]
		n1.cfg.Token = "the one that never changes"
		ctx, cancel := soon()
		defer cancel()
		if err := n1.AddToken(ctx, Token{Hash: sha256.Sum256([]byte("once")), Uses: 1, Label: "for n2"}); err != nil {
			r.Fatal(err)
		}
		r.joinWith("n2", "nonsense", errdefs.PermissionDenied)
		r.joinWith("n2", "once", "")
		r.joinWith("n3", "once", errdefs.PermissionDenied)
		r.joinWith("n3", n1.cfg.Token, "")
		if got := r.nodes["n2"].Tokens(); len(got) != 1 || len(got[0].Spent) != 1 || got[0].Spent[0] != r.nodes["n2"].ID() || got[0].Label != "for n2" {
			r.Errorf("tokens %+v", got)
		}
		r.kill("n2")
		r.joinWith("n2", "", "") // it's known
		hash := sha256.Sum256([]byte("once"))
		wantReason(r, r.nodes["n3"].SpendToken(ctx, hash, r.nodes["n2"].ID()), "")
		wantReason(r, r.nodes["n3"].SpendToken(ctx, hash, "another"), errdefs.PermissionDenied)
		if err := r.nodes["n3"].DropToken(ctx, hash); err != nil {
			r.Fatal(err)
		}
		wantReason(r, r.nodes["n3"].SpendToken(ctx, hash, r.nodes["n2"].ID()), errdefs.PermissionDenied)
		wantReason(r, n1.AddToken(ctx, Token{}), errdefs.InvalidArguments)
	})
}

// joinWith starts a node that shows a secret.
func (r *rig) joinWith(name, secret string, want errdefs.Reason) {
	r.Helper()
	if r.nodes[name] == nil {
		r.add(name)
	}
	cfg := r.config(name)
	cfg.Join.Token = secret
	n, err := Open(r.Context(), cfg)
	wantReason(r, err, want)
	if err == nil {
		r.nodes[name].Node = n
	}
}

func TestTokensAreDroppedAfterADay(t *testing.T) {
	t.Parallel()
	inPreparedBubble(t, 1, func(r *rig) { r.nodes["n1"].rate = 1000 }, func(r *rig) { // a day is 86 s
		n := r.nodes["n1"]
		add := func(name string) {
			if err := n.AddToken(r.Context(), Token{Hash: sha256.Sum256([]byte(name)), Uses: 1}); err != nil {
				r.Fatal(err)
			}
		}
		add("first")
		time.Sleep((tokenLife - time.Hour) / 1000)
		add("second")
		if got := n.Tokens(); len(got) != 2 {
			r.Errorf("tokens %+v", got)
		}
		time.Sleep((time.Hour + time.Minute*10) / 1000)
		if got := n.Tokens(); len(got) != 1 || got[0].Hash != sha256.Sum256([]byte("second")) {
			r.Errorf("tokens %+v", got)
		}
	})
}

func TestTokensAreBoundedAndThoseUsedUpMakeRoom(t *testing.T) {
	t.Parallel()
	b := newBench()
	for i := range maxTokens {
		b.apply(t, addToken(sum{byte(i), 1}, 1, ""))
	}
	wantReason(t, b.apply(t, addToken(sum{0, 2}, 1, ""))[0].err, errdefs.QueueFull)
	b.apply(t, spendToken(sum{7, 1}, "n"))
	if o := b.apply(t, addToken(sum{0, 2}, 1, ""))[0]; o.err != nil || len(b.state.tokens) != maxTokens || b.state.tokens[sum{7, 1}] != nil {
		t.Errorf("%d tokens (%v)", len(b.state.tokens), o.err)
	}
}

func TestKnobsOfPoolsReachAllHosts(t *testing.T) {
	t.Parallel()
	told := map[string]chan map[string]map[string]string{}
	inPreparedBubble(t, 2, func(r *rig) {
		for _, name := range r.names {
			told[name] = make(chan map[string]map[string]string, 10)
			r.nodes[name].onOverrides = func(all map[string]map[string]string) { told[name] <- all }
		}
	}, func(r *rig) {
		ctx, cancel := soon()
		defer cancel()
		set := func(pool string, knobs map[string]string) {
			if err := r.nodes["n2"].SetPoolOverride(ctx, pool, knobs); err != nil {
				r.Fatal(err)
			}
		}
		want := func(text string) {
			r.Helper()
			for _, name := range r.names {
				if got := fmt.Sprint(<-told[name]); got != text {
					r.Errorf("%s is told of %s, want %s", name, got, text)
				}
			}
		}
		set("ml", map[string]string{"max": "9"})
		want("map[ml:map[max:9]]")
		set("ml", map[string]string{"max": "9"})
		set("web", map[string]string{"min": "1"})
		want("map[ml:map[max:9] web:map[min:1]]")
		set("ml", nil)
		want("map[web:map[min:1]]")
		r.kill("n1")
		r.start("n1")
		if got := fmt.Sprint(<-told["n1"]); got != "map[web:map[min:1]]" {
			r.Errorf("a start is told of %s", got)
		}
		for name, err := range map[string]error{
			"too many": r.nodes["n1"].SetPoolOverride(ctx, "ml", manyKnobs(maxKnobs+1, "v")),
			"too much": r.nodes["n1"].SetPoolOverride(ctx, "ml", manyKnobs(2, string(make([]byte, maxOverrideBytes/2)))),
		} {
			if errdefs.ReasonOf(err) != errdefs.PayloadTooLarge {
				r.Errorf("%s: %v", name, err)
			}
		}
		wantReason(r, r.nodes["n1"].SetPoolOverride(ctx, "", manyKnobs(1, "v")), errdefs.InvalidArguments)
		wantReason(r, r.nodes["n1"].SetPoolOverride(ctx, "ml", map[string]string{"max": "\xff"}), errdefs.InvalidArguments)
	})
}

func TestKnobsChangeOnlyWhereNobodyElseHasChangedThem(t *testing.T) {
	t.Parallel()
	inBubble(t, 2, func(r *rig) {
		ctx, cancel := soon()
		defer cancel()
		change := func(name string, former, knobs map[string]string) error {
			return r.nodes[name].ChangePoolOverride(ctx, "ml", former, knobs)
		}
		one, two := map[string]string{"max": "9"}, map[string]string{"max": "9", "min": "1"}
		for _, err := range []error{change("n1", nil, one), change("n2", one, two)} {
			if err != nil {
				r.Fatal(err)
			}
		}
		wantReason(r, change("n1", one, map[string]string{"queue": "3"}), errdefs.Conflict)
		wantReason(r, change("n1", nil, nil), errdefs.Conflict)
		if got := r.nodes["n2"].PoolOverrides()["ml"]; !maps.Equal(got, two) {
			r.Errorf("it has %v", got)
		}
		if err := change("n1", two, nil); err != nil || len(r.nodes["n1"].PoolOverrides()) != 0 {
			r.Errorf("%v: %v", err, r.nodes["n1"].PoolOverrides())
		}
	})
}

func manyKnobs(n int, value string) map[string]string {
	all := map[string]string{}
	for i := range n {
		all[fmt.Sprint("k", i)] = value
	}
	return all
}

func TestSoleHostIsToldOfItsKnobs(t *testing.T) {
	t.Parallel()
	told := make(chan map[string]map[string]string, 10)
	cfg := Config{Dir: t.TempDir(), OnOverrides: func(all map[string]map[string]string) { told <- all }}
	for range 2 {
		n, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.SetPoolOverride(t.Context(), "ml", map[string]string{"max": "9"}); err != nil {
			t.Fatal(err)
		}
		if got := <-told; !maps.Equal(got["ml"], map[string]string{"max": "9"}) {
			t.Errorf("told of %v", got)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
