package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// fakeOverrides is the part of fakeHost that has knobs for all hosts.
type fakeOverrides struct {
	overrides []poolOverride
	odd       []string // warnings of Override
}

var _ overrider = (*fakeHost)(nil)

func (h *fakeHost) Override(_ context.Context, pool string, knobs map[string]string) (set map[string]string, warnings []string, err error) {
	h.asked = append(h.asked, fmt.Sprint("set ", pool, " ", knobs))
	return knobs, h.odd, h.err
}

func (h *fakeHost) Restore(_ context.Context, pool string, knobs []string) ([]string, error) {
	h.asked = append(h.asked, fmt.Sprint("unset ", pool, " ", knobs))
	var removed []string
	for _, o := range h.overrides {
		if o.Pool == pool && (len(knobs) == 0 || slices.Contains(knobs, o.Knob)) {
			removed = append(removed, o.Knob)
		}
	}
	return removed, h.err
}

func (h *fakeHost) Overrides(context.Context) ([]poolOverride, error) { return h.overrides, h.err }

func fixedOverrides() []poolOverride {
	return []poolOverride{
		{Pool: "default", Knob: "max_workers", Value: "5", Own: "10000", From: "default", Holds: true},
		{Pool: "default", Knob: "pool_size", Value: "8", Own: "2", From: "snakepit.yaml:3", Holds: true, Note: "it's more than max_workers, and cut to that"},
		{Pool: "elsewhere", Knob: "queue_size", Value: "7", Note: "this host has no such pool"},
	}
}

func TestKnobsAreSetAndUnsetForAllHosts(t *testing.T) {
	t.Parallel()
	h := &fakeHost{fakeOverrides: fakeOverrides{overrides: fixedOverrides(), odd: []string{"pool_size: it's cut"}}}
	for _, tt := range []struct{ args, stdout, stderr, asked string }{
		{"set ml pool_size=4 weights=a:2,b:3", "set pool=ml pool_size=4 weights=a:2,b:3\n", "warning: pool_size: it's cut\n", "set ml map[pool_size:4 weights:a:2,b:3]"},
		{"set ml pool_size=4 -o json", "{\n  \"knobs\": {\n    \"pool_size\": \"4\"\n  },\n  \"pool\": \"ml\",\n  \"warnings\": [\n    \"pool_size: it's cut\"\n  ]\n}\n", "", "set ml map[pool_size:4]"},
		{"unset default", "unset pool=default knobs=max_workers,pool_size\n", "", "unset default []"},
		{"unset default pool_size -o json", "{\n  \"knobs\": [\n    \"pool_size\"\n  ],\n  \"pool\": \"default\"\n}\n", "", "unset default [pool_size]"},
		{"unset ml", "nothing was set pool=ml\n", "", "unset ml []"},
	} {
		o := runOn(t, h, append([]string{"pools"}, strings.Fields(tt.args)...)...)
		if o.code != 0 || o.stdout != tt.stdout || o.stderr != tt.stderr || h.asked[len(h.asked)-1] != tt.asked {
			t.Errorf("%s: exit %d, stdout %q, stderr %q, asked %q", tt.args, o.code, o.stdout, o.stderr, h.asked[len(h.asked)-1])
		}
	}
}

func TestKnobsForAllHostsThatAreNoPairsAreWrongUsage(t *testing.T) {
	t.Parallel()
	h := &fakeHost{}
	for _, args := range []string{"set", "set ml", "set ml pool_size", "set ml =4", "set ml pool_size=1 pool_size=2", "unset", "overrides ml"} {
		if o := runOn(t, h, append([]string{"pools"}, strings.Fields(args)...)...); o.code != 2 || o.stdout != "" || o.stderr == "" {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", args, o.code, o.stdout, o.stderr)
		}
	}
	if len(h.asked) != 0 {
		t.Errorf("asked %q", h.asked)
	}
	h.err = errdefs.New(errdefs.NoQuorum, "nobody leads")
	for _, args := range []string{"set ml pool_size=2", "unset ml", "overrides"} {
		o := runOn(t, h, append([]string{"pools"}, strings.Fields(args)...)...)
		if o.code != 1 || o.stdout != "" || !strings.Contains(o.stderr, "hint: ") {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", args, o.code, o.stdout, o.stderr)
		}
	}
}

func TestKnobsForAllHostsAreCompleted(t *testing.T) {
	t.Parallel()
	h := &fakeHost{status: fixedStatus(), fakeOverrides: fakeOverrides{overrides: fixedOverrides()}}
	for _, tt := range []struct{ args, has, hasNot string }{
		{"set ", "default", "pool_size"},
		{"set default pool_", "pool_size=", "adapter"},
		{"set default adap", ":", "adapter"},
		{"set default affinity=strict_q", "affinity=strict_queue", "fail_fast"},
		{"unset ", "elsewhere", "pool_size"},
		{"unset default ", "max_workers", "queue_size"},
		{"unset default pool_size ", "max_workers", "pool_size"},
	} {
		words := strings.Split(tt.args, " ")
		o := runWith(t.Context(), t, h, nil, append([]string{"__complete", "--host", "/fake.sock", "pools"}, words...)...)
		if !strings.Contains(o.stdout, tt.has) || strings.Contains(o.stdout, tt.hasNot) {
			t.Errorf("%q: %s", tt.args, o.stdout)
		}
	}
}

func TestPoolsSayWhichKnobsAreSetForAllHosts(t *testing.T) {
	t.Parallel()
	st := fixedStatus()
	st.Pools[0].Overrides = map[string]string{"pool_size": "4", "max_size": "6"}
	o := runOn(t, &fakeHost{status: st}, "pools")
	if o.code != 0 || !strings.HasSuffix(o.stdout, "\npool default: set for all hosts (override): max_size=6 pool_size=4\n") {
		t.Errorf("exit %d, stdout %q", o.code, o.stdout)
	}
}
