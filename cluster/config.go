package cluster

import (
	"cmp"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Config says where a node keeps its registry. Only Dir must be set.
type Config struct {
	// Dir has the registry's files; it's made when it isn't there. It belongs to
	// one node: the caller sees to it that no other process uses it.
	Dir         string
	Node        string       // the host's name in logs and errors; empty: "local"
	MaxSessions int          // open at once; zero: 10,000; at most 1,000,000
	Logger      hclog.Logger // nil: silent
}

const mostSessions = 1_000_000

func (c Config) withDefaults() Config {
	c.Node = cmp.Or(c.Node, "local")
	c.MaxSessions = cmp.Or(c.MaxSessions, 10_000)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

func (c Config) validate() error {
	if c.Dir == "" {
		return errdefs.New(errdefs.InvalidConfig, "the registry has no directory")
	}
	if c.MaxSessions < 0 || c.MaxSessions > mostSessions {
		return errdefs.New(errdefs.InvalidConfig, "MaxSessions %d isn't 0 to %d", c.MaxSessions, mostSessions)
	}
	return nil
}
