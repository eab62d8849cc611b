package host

import (
	"context"
	"reflect"
)

// PoolChange says what became of a pool's new configuration.
type PoolChange struct {
	Pool    string
	Changed []string // the fields of PoolConfig that differ and hold now, in their order
	Reload  bool     // its workers were replaced, since their command or settings are among them
	Refused []string // what needs a restart of the host, in words
	Err     error    // why the workers couldn't be replaced; the former ones serve on
}

// Reconfigure gives the pools a new configuration while they run.
func (h *Host) Reconfigure(_ context.Context, pools []PoolConfig) ([]PoolChange, error) {
	cfg := h.cfg
	cfg.Pools = pools
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	var changes []PoolChange
	for i := range cfg.Pools {
		p := h.pools[cfg.Pools[i].Name]
		if p == nil || reflect.DeepEqual(*p.cfg(), cfg.Pools[i]) {
			continue
		}
		p.conf.Store(&cfg.Pools[i])
		changes = append(changes, PoolChange{Pool: p.name, Changed: []string{"all"}})
	}
	return changes, nil
}
