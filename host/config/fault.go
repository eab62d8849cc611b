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

// Faults are all things that are wrong with a configuration.
type Faults []Fault

// faultsError is the cause of what [Load] returns.
type faultsError struct{ all Faults }

// Error is a line for each.
func (e *faultsError) Error() string {
	lines := make([]string, 0, len(e.all))
	for _, fault := range e.all {
		lines = append(lines, fault.String())
	}
	return strings.Join(lines, "\n")
}

// FaultsIn are the things that are wrong, as an error of Load has them; none: it isn't
// one of Load's.
func FaultsIn(err error) Faults {
	var e *faultsError
	if errors.As(err, &e) {
		return e.all
	}
	return nil
}

// asError is nothing, or one invalid_config that names everything.
func asError(all Faults) error {
	if len(all) == 0 {
		return nil
	}
	cause := &faultsError{all}
	e := errdefs.Wrap(errdefs.InvalidConfig, cause, "configuration")
	e.Message = cause.Error()
	if len(all) > 1 {
		e.Message = fmt.Sprintf("%d things are wrong:\n  %s", len(all), strings.ReplaceAll(cause.Error(), "\n", "\n  "))
	}
	e.Path = all[0].Key
	e.Hint = "docs/configuration.md lists the knobs, and so does `snakepit config defaults`"
	return e
}

// maxFaults is how many are kept: a file that isn't a configuration has a fault a line.
const maxFaults = 100

func (r *reader) fault(at Origin, key, format string, args ...any) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, Fault{at, key, fmt.Sprintf(format, args...)})
	}
}
