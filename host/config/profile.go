package config

import (
	"slices"
	"time"
)

// profile is a set of deadlines for one sort of work.
type profile struct {
	name                string
	call, stream, queue time.Duration
}

// profiles are the timeout profiles; all but the first are the Elixir project's.
func profiles() []profile {
	return []profile{
		{"standard", 30 * time.Second, 15 * time.Minute, 5 * time.Second},
		{"balanced", 5 * time.Minute, 15 * time.Minute, 10 * time.Second},
		{"production", 5 * time.Minute, 15 * time.Minute, 10 * time.Second},
		{"production_strict", time.Minute, 5 * time.Minute, 5 * time.Second},
		{"development", 15 * time.Minute, time.Hour, time.Minute},
		{"ml_inference", 15 * time.Minute, time.Hour, time.Minute},
		{"batch", time.Hour, Forever, 5 * time.Minute},
	}
}

func profileNames() []string {
	names := make([]string, 0, len(profiles()))
	for _, p := range profiles() {
		names = append(names, p.name)
	}
	return names
}

// applyProfile sets the deadlines that nobody has set.
func (d *draft) applyProfile() {
	i := slices.IndexFunc(profiles(), func(p profile) bool { return p.name == d.values.TimeoutProfile })
	if i <= 0 { // the first is what the defaults are
		return
	}
	p := profiles()[i]
	for name, v := range map[string]time.Duration{"call_timeout": p.call, "stream_timeout": p.stream, "queue_timeout": p.queue} {
		d.derive(name, v, "timeout_profile")
	}
}
