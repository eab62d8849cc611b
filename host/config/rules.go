package config

import "time"

// rules are what knobs must be beside each other.
type rules struct {
	reader *reader
	config *Config
}

// judge checks one pool and derives what follows from what is set.
func (r *rules) judge(d *draft, p declared, multi bool) {
	key := func(knob string) string { return p.key(knob, multi) }
	if p.name != "" && d.values.Adapter == "" {
		r.reader.fault(p.origin, key("adapter"), "the pool has no adapter")
	}
	r.judgeSize(d, key)
	r.judgeSlots(d, key)
	r.judgeTimes(d, key)
	r.judgeFaults(d, key)
}

// warn notes what is odd about a knob.
func (r *rules) warn(d *draft, key, knob, text string) {
	r.config.Warnings = append(r.config.Warnings, Warning{d.origins[knob], key, text})
}

func (r *rules) judgeSize(d *draft, key func(string) string) {
	s := &d.values
	for _, knob := range []string{"pool_size", "max_size"} {
		if n := d.table.named[knob].knob.get(s).(int); n > s.MaxWorkers { //nolint:forcetypeassert,errcheck // both are integers
			r.warn(d, key(knob), knob, "it's more than max_workers, and cut to that")
			d.table.named[knob].knob.set(s, s.MaxWorkers)
		}
	}
	if s.MaxSize == 0 {
		r.judgeFixed(d, key)
		return
	}
	if s.PoolSize > s.MaxSize && !d.isSet("pool_size") {
		d.derive("pool_size", s.MaxSize, "max_size")
	}
	if s.MinSize < 0 {
		d.derive("min_size", min(s.PoolSize, s.MaxSize), "pool_size")
	}
	if s.MinSize > s.PoolSize && !d.isSet("pool_size") && s.MinSize <= s.MaxSize {
		d.derive("pool_size", s.MinSize, "min_size")
	}
	switch {
	case s.MinSize > s.MaxSize:
		r.fault(d, key, "min_size", "%d is more than max_size, %d", s.MinSize, s.MaxSize)
	case s.PoolSize > s.MaxSize:
		r.fault(d, key, "pool_size", "%d is more than max_size, %d", s.PoolSize, s.MaxSize)
	case s.PoolSize < s.MinSize:
		r.fault(d, key, "pool_size", "%d is less than min_size, %d", s.PoolSize, s.MinSize)
	}
}

func (r *rules) fault(d *draft, key func(string) string, knob, format string, args ...any) {
	r.reader.fault(d.origins[knob], key(knob), format, args...)
}

// judgeFixed is about knobs that mean nothing where the size is fixed.
func (r *rules) judgeFixed(d *draft, key func(string) string) {
	if d.values.MinSize >= 0 && d.isSet("min_size") {
		r.fault(d, key, "min_size", "the pool's size is fixed: set max_size too, or pool_size instead")
	}
	for _, knob := range []string{"scale_up_delay", "idle_timeout"} {
		if d.isSet(knob) && d.origins[knob].Kind == FromFile {
			r.warn(d, key(knob), knob, "it means nothing without max_size: the pool's size is fixed")
		}
	}
}

const threadSlots = 10

func (r *rules) judgeSlots(d *draft, key func(string) string) {
	s := &d.values
	switch {
	case s.WorkerProfile == "process" && s.Slots > 1:
		r.fault(d, key, "slots", "a worker of the process profile has one slot; worker_profile: thread has more")
	case s.WorkerProfile == "process":
		d.derive("slots", 1, "worker_profile")
	case s.WorkerProfile == "thread" && s.Slots == 0:
		d.derive("slots", threadSlots, "worker_profile")
	case s.WorkerProfile == "thread" && s.Slots == 1:
		r.warn(d, key("slots"), "slots", "with one slot the thread profile is the process profile")
	}
	if s.Prefetch > 0 && s.Affinity == "strict_fail_fast" {
		r.warn(d, key("prefetch"), "prefetch", "a worker that holds calls in advance is busy more often, and strict_fail_fast refuses then")
	}
}

// judgeTimes sees to it that what is inside ends before what is around it.
func (r *rules) judgeTimes(d *draft, key func(string) string) {
	s := &d.values
	if s.QueueTimeout >= s.CallTimeout && d.isSet("call_timeout") {
		d.derive("queue_timeout", max(s.CallTimeout/2, time.Millisecond), "call_timeout")
	}
	r.inner(d, key, "queue_timeout", "call_timeout")
	r.inner(d, key, "queue_timeout", "stream_timeout")
	r.inner(d, key, "stop_timeout", "shutdown_timeout")
	r.inner(d, key, "cancel_grace", "call_timeout")
	if s.RetryBackoff > s.RetryMaxDelay {
		if d.isSet("retry_backoff") && d.isSet("retry_max_delay") {
			r.fault(d, key, "retry_backoff", "%s is longer than retry_max_delay, %s", formatDuration(s.RetryBackoff), formatDuration(s.RetryMaxDelay))
		}
		d.derive("retry_max_delay", s.RetryBackoff, "retry_backoff")
		d.derive("retry_backoff", s.RetryMaxDelay, "retry_max_delay")
	}
}

// inner warns where both were set by hand and the inner one never gets to its end.
func (r *rules) inner(d *draft, key func(string) string, inside, around string) {
	value := func(knob string) time.Duration {
		v, _ := d.table.named[knob].knob.get(&d.values).(time.Duration)
		return v
	}
	if d.isSet(inside) && d.isSet(around) && value(inside) >= value(around) {
		r.warn(d, key(inside), inside, formatDuration(value(inside))+" never comes to its end: "+around+", around it, is "+formatDuration(value(around)))
	}
}

func (r *rules) judgeFaults(d *draft, key func(string) string) {
	s := &d.values
	if s.MaxMemory != int64(Unlimited) && s.MaxMemory >= s.LimitMemory {
		r.warn(d, key("max_memory"), "max_memory", "limit_memory, "+formatBytes(s.LimitMemory)+", ends a worker before it's replaced")
	}
	if s.HeartbeatBusyTimeout < s.HeartbeatTimeout {
		if d.isSet("heartbeat_timeout") {
			r.fault(d, key, "heartbeat_busy_timeout", "%s is shorter than heartbeat_timeout, %s: a busy worker would be given less time than an idle one",
				formatDuration(s.HeartbeatBusyTimeout), formatDuration(s.HeartbeatTimeout))
		}
		d.derive("heartbeat_timeout", s.HeartbeatBusyTimeout, "heartbeat_busy_timeout")
	}
}

// judgeHost derives the host's deadlines from what its pools were given.
func (r *rules) judgeHost(d *draft) {
	r.judgeCluster(d)
	s := &d.values
	if !d.isSet("call_timeout") {
		longest := s.CallTimeout
		for _, p := range r.config.Pools {
			if p.Settings.QueueTimeout >= s.CallTimeout {
				longest = max(longest, p.Settings.QueueTimeout+s.CallTimeout)
			}
		}
		if longest > s.CallTimeout {
			d.derive("call_timeout", longest, "queue_timeout")
		}
	}
	if s.StreamTimeout < s.CallTimeout {
		if d.isSet("stream_timeout") && d.isSet("call_timeout") {
			r.warn(d, "stream_timeout", "stream_timeout", "a stream gets less time than a call, whose call_timeout is "+formatDuration(s.CallTimeout))
		}
		d.derive("stream_timeout", s.CallTimeout, "call_timeout")
	}
}

// judgeCluster refuses what means something for a node of a cluster alone.
func (r *rules) judgeCluster(d *draft) {
	s := &d.values
	if s.ClusterListen == "" {
		for _, knob := range []string{"cluster_advertise", "join", "join_token"} {
			if d.isSet(knob) && !r.empty(d, knob) {
				r.reader.fault(d.origins[knob], knob, "it means nothing without cluster_listen")
			}
		}
		return
	}
	if s.JoinToken != "" && len(s.Join) == 0 {
		r.warn(d, "join_token", "join_token", "it means nothing without join")
	}
}

func (r *rules) empty(d *draft, knob string) bool {
	switch v := d.table.named[knob].knob.get(&d.values).(type) {
	case string:
		return v == ""
	case []string:
		return len(v) == 0
	}
	return false
}
