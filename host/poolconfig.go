package host

import (
	"cmp"
	"time"

	"github.com/snakepit-go/snakepit/proto/names"
)

// PoolConfig describes one pool.
type PoolConfig struct {
	Name         string // 1 to 64 bytes of [A-Za-z0-9][A-Za-z0-9_.-]*; empty: "default"
	Command      Command
	Settings     WorkerSettings
	Size         int            // workers; zero: 2
	Scale        Scale          // how the number of workers follows the load; zero: it doesn't
	QueueSize    int            // calls that may wait; zero: 1,000; negative: none
	QueueTimeout time.Duration  // how long a call may wait for a worker; zero: 5 s
	Affinity     Affinity       // of its sessions' calls; empty: AffinityHint
	Weights      map[string]int // a caller's share of the slots beside the others', by its name; absent: 1
	// Spill is how many calls may wait for each slot before one without a session goes to
	// another node that has the pool; zero: they all stay.
	Spill        int
	Prefetch     int           // calls that a worker is given beyond its slots, so that it needn't wait for the next; zero: none
	StartBatch   int           // workers that start at once; zero: Config.LaunchLimit alone bounds it
	StartDelay   time.Duration // between one batch and the next
	StartTimeout time.Duration // how long a worker may take to start; zero: 60 s
	CancelGrace  time.Duration // how long a cancelled tool may go on before its worker is killed; zero: 500 ms
	// NeighbourGrace is how long the other calls of a worker that must be killed may
	// still take to end; zero: 2 s; negative: not at all.
	NeighbourGrace time.Duration
	SessionTTL     time.Duration // zero: Config.SessionTTL; negative: for ever
	Recycle        Recycle
	Retry          Retry
	Barrier        Barrier
	Breaker        Breaker
	Heartbeat      Heartbeat
}

// Affinity says what becomes of a session's call when its home is busy or gone.
type Affinity string

// The affinities, from the weakest to the strictest. A call may ask for a stricter
// one than its session's, not for a weaker.
const (
	AffinityHint           Affinity = "hint"             // any free worker
	AffinityStrictQueue    Affinity = "strict_queue"     // it waits for its home
	AffinityStrictFailFast Affinity = "strict_fail_fast" // it fails with worker_busy
)

// Scale is how a pool's number of workers follows its load.
type Scale struct {
	Min        int           // workers that stay; may be zero
	Max        int           // zero: the pool is fixed at Size, and the rest of Scale means nothing
	QueueDelay time.Duration // a call that waits for longer makes the pool grow; zero: 100 ms
	IdleAfter  time.Duration // workers above Min that the load had no need for during this are stopped; zero: 1 min
}

// Recycle is when a worker is replaced although nothing is wrong with it: another
// one is started, then it's drained, then stopped. Zero values: never.
type Recycle struct {
	MaxAge    time.Duration // since it was ready
	Jitter    float64       // the part of MaxAge by which it may come earlier, 0 to 1; zero: 0.1; negative: 0
	MaxCalls  int           // that it has run
	MaxMemory int64         // resident memory of the worker's process in bytes
	// MemoryGrace is how long the calls of a worker above MaxMemory may go on once
	// the other one is ready; zero: 30 s.
	MemoryGrace time.Duration
}

// Retry is what happens to a call that met a passing fault. Only what provably
// never reached a worker, or is idempotent, is tried again.
type Retry struct {
	Attempts int // in all; zero: 3; 1: no retry
	// Backoff is the pause before the second attempt; doubles with each; zero: 20 ms. A
	// call that met a dead worker goes to another at once the first time, in its old place.
	Backoff  time.Duration
	MaxDelay time.Duration // zero: 2 s
	Jitter   float64       // the part of a delay that is random, 0 to 1; zero: 0.25; negative: 0
}

// Barrier keeps calls away from workers that have shown that something below
// Python is broken: those are tainted, and replaced.
type Barrier struct {
	ExitCodes []int // of a worker's end that taint its seat: 139 stands for SIGSEGV, 134 for SIGABRT, 137 for SIGKILL; nil: 139, 134, 137
	// ErrorTypes are Python exceptions after which a worker isn't used again: a class,
	// with or without its module, that the exception has or derives from; with a colon
	// and text, only if the message has the text: "RuntimeError: CUDA error".
	ErrorTypes []string
	Taint      time.Duration // how long the seat of a tainted worker, and with it its device, stays empty; zero: 0
	Retries    int           // how often an idempotent call whose worker crashed or hung is run again; zero: 1; negative: never
}

// Breaker refuses a pool's calls for a while when its workers keep crashing.
type Breaker struct {
	Threshold int           // crashes in a row, without a success between them, that open it; zero: 5; negative: no breaker
	Reset     time.Duration // how long it stays open; zero: 30 s
	Probes    int           // calls let through to see whether it's over; zero: 1
}

// Heartbeat is how a pool finds workers that hang.
type Heartbeat struct {
	Interval  time.Duration // between two probes of a worker; zero: 2 s; negative: no heartbeat
	Timeout   time.Duration // how long an answer may take; zero: 10 s
	MaxMissed int           // unanswered probes in a row, while the worker has nothing to do, that mean that it hangs; zero: 3
	// BusyTimeout is how long a worker that runs a call may leave probes unanswered:
	// a tool that holds the GIL in C does. Zero: as long as its calls may take.
	BusyTimeout time.Duration
}

func (p PoolConfig) withDefaults(ttl time.Duration) PoolConfig {
	p.Name = cmp.Or(p.Name, "default")
	p.Size = cmp.Or(p.Size, 2)
	p.Affinity = cmp.Or(p.Affinity, AffinityHint)
	p.QueueSize = max(cmp.Or(p.QueueSize, 1000), 0)
	p.QueueTimeout = cmp.Or(p.QueueTimeout, 5*time.Second)
	p.StartTimeout = cmp.Or(p.StartTimeout, time.Minute)
	p.CancelGrace = cmp.Or(p.CancelGrace, 500*time.Millisecond)
	p.NeighbourGrace = cmp.Or(p.NeighbourGrace, 2*time.Second)
	p.SessionTTL = max(cmp.Or(p.SessionTTL, ttl), 0)
	p.Scale = p.Scale.withDefaults()
	p.Recycle = p.Recycle.withDefaults()
	p.Settings.StopTimeout = cmp.Or(p.Settings.StopTimeout, 2*time.Second)
	p.Settings.MaxPayload = cmp.Or(p.Settings.MaxPayload, defaultMaxPayload)
	p.Retry, p.Barrier, p.Breaker, p.Heartbeat = p.Retry.withDefaults(), p.Barrier.withDefaults(), p.Breaker.withDefaults(), p.Heartbeat.withDefaults()
	return p
}

// maxCPUs is far above what a machine has, and below infinity.
const maxCPUs = 1 << 20

func (p PoolConfig) validate(check func(ok bool, format string, args ...any)) {
	name := names.Cut(p.Name)
	check(names.Valid(p.Name), "pool name %q isn't 1 to 64 bytes of letters, digits, '_', '.' and '-'", name)
	check(p.Command.Path != "", "pool %q has no command", name)
	check(p.Size > 0 && p.Size <= maxPoolSize, "pool %q: Size %d isn't 1 to %d", name, p.Size, maxPoolSize)
	p.Scale.validate(name, check)
	p.Recycle.validate(name, check)
	check(p.StartBatch >= 0, "pool %q: StartBatch is negative", name)
	check(p.StartDelay >= 0, "pool %q: StartDelay is negative", name)
	check(p.Affinity.valid(), "pool %q: Affinity %q is none of hint, strict_queue and strict_fail_fast", name, names.Cut(string(p.Affinity)))
	check(p.Prefetch >= 0 && p.Prefetch <= maxPrefetch, "pool %q: Prefetch %d isn't 0 to %d", name, p.Prefetch, maxPrefetch)
	check(p.Spill >= 0, "pool %q: Spill is negative", name)
	for caller, w := range p.Weights {
		check(w >= 1 && w <= maxWeight, "pool %q: the weight of %q, %d, isn't 1 to %d", name, names.Cut(caller), w, maxWeight)
	}
	check(p.QueueTimeout > 0, "pool %q: QueueTimeout is negative", name)
	check(p.StartTimeout > 0, "pool %q: StartTimeout is negative", name)
	check(p.CancelGrace > 0, "pool %q: CancelGrace is negative", name)
	check(p.Settings.StopTimeout > 0, "pool %q: StopTimeout is negative", name)
	check(p.Settings.MaxPayload > 0, "pool %q: MaxPayload is negative", name)
	check(p.Settings.Slots >= 0, "pool %q: Slots is negative", name)
	check(p.Settings.GPUs >= 0, "pool %q: GPUs is negative", name)
	l := p.Settings.Limits
	check(l.Memory >= 0 && l.OpenFiles >= 0 && l.Processes >= 0 && l.CPU >= 0 && l.CPU <= maxCPUs, "pool %q: a limit is negative or no number", name)
	p.validateFaults(name, check)
}

const (
	maxPrefetch = 64
	maxWeight   = 100
)

// weightOf is a flow's share of the slots beside the others': a caller's may be set.
func weightOf(weights map[string]int, f flowKey) int {
	if len(weights) == 0 || f.kind != flowCaller {
		return 1
	}
	return min(max(weights[f.name], 1), maxWeight)
}

// most is how many workers the pool may have.
func (p PoolConfig) most() int { return cmp.Or(p.Scale.Max, p.Size) }

func (s Scale) withDefaults() Scale {
	if s.Max == 0 {
		return s
	}
	s.QueueDelay = cmp.Or(s.QueueDelay, 100*time.Millisecond)
	s.IdleAfter = cmp.Or(s.IdleAfter, time.Minute)
	return s
}

func (s Scale) validate(name string, check func(ok bool, format string, args ...any)) {
	check(s.Max >= 0 && s.Max <= maxPoolSize, "pool %q: Scale.Max %d isn't 0 to %d", name, s.Max, maxPoolSize)
	check(s.Min >= 0 && (s.Max == 0 || s.Min <= s.Max), "pool %q: Scale.Min %d isn't 0 to Max, %d", name, s.Min, s.Max)
	check(s.QueueDelay >= 0, "pool %q: Scale.QueueDelay is negative", name)
	check(s.IdleAfter >= 0, "pool %q: Scale.IdleAfter is negative", name)
}

func (r Recycle) withDefaults() Recycle {
	r.Jitter = max(cmp.Or(r.Jitter, 0.1), 0)
	r.MemoryGrace = cmp.Or(r.MemoryGrace, 30*time.Second)
	return r
}

func (r Recycle) validate(name string, check func(ok bool, format string, args ...any)) {
	check(r.MaxAge >= 0, "pool %q: Recycle.MaxAge is negative", name)
	check(r.Jitter <= 1, "pool %q: Recycle.Jitter %g isn't 0 to 1", name, r.Jitter)
	check(r.MaxCalls >= 0, "pool %q: Recycle.MaxCalls is negative", name)
	check(r.MaxMemory >= 0, "pool %q: Recycle.MaxMemory is negative", name)
	check(r.MemoryGrace > 0, "pool %q: Recycle.MemoryGrace is negative", name)
}
