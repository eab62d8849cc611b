package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Fault is one thing that's wrong.
type Fault struct {
	Origin Origin // where it stands
	Key    string // what it's about: "pools.ml.pool_size"; empty: the whole
	Text   string
}

// String is "snakepit.yaml:3: pool_size: what's wrong".
func (f Fault) String() string {
	text := f.Text
	if f.Key != "" {
		text = f.Key + ": " + text
	}
	if where := f.Origin.String(); f.Origin.Kind != FromDefault && where != f.Key {
		text = where + ": " + text
	}
	return text
}

// Faults are all things that are wrong with a configuration. The error that
// [Load] returns has them: errors.As finds them.
type Faults []Fault

// Error is a line for each.
func (f Faults) Error() string {
	lines := make([]string, 0, len(f))
	for _, fault := range f {
		lines = append(lines, fault.String())
	}
	return strings.Join(lines, "\n")
}

// FaultsIn are the things that are wrong, as an error of Load has them.
func FaultsIn(err error) Faults {
	var f Faults
	_ = errors.As(err, &f) // none: it isn't one of ours
	return f
}

// asError is nothing, or one invalid_config that names everything.
func (f Faults) asError() error {
	var e *errdefs.Error
	switch len(f) {
	case 0:
		return nil
	case 1:
		e = errdefs.Wrap(errdefs.InvalidConfig, f, "configuration")
		e.Message = f.Error()
	default:
		e = errdefs.Wrap(errdefs.InvalidConfig, f, "configuration")
		e.Message = fmt.Sprintf("%d things are wrong:\n  %s", len(f), strings.ReplaceAll(f.Error(), "\n", "\n  "))
	}
	e.Path = f[0].Key
	e.Hint = "docs/configuration.md lists the knobs, and so does `snakepit config defaults`"
	return e
}

// maxFaults is how many are kept: a file that isn't a configuration has a fault a line.
const maxFaults = 100

func (f *Faults) add(at Origin, key, format string, args ...any) {
	if len(*f) < maxFaults {
		*f = append(*f, Fault{at, key, fmt.Sprintf(format, args...)})
	}
}
