package config

import "strconv"

// OriginKind is the sort of place that a value comes from.
type OriginKind string

// The origins, from the weakest to the strongest.
const (
	FromDefault  OriginKind = "default"
	Derived      OriginKind = "derived" // from another knob
	FromFile     OriginKind = "file"
	FromEnviron  OriginKind = "environment"
	FromFlag     OriginKind = "flag"
	FromOverride OriginKind = "override" // for all hosts of a cluster
)

// Origin is where a value comes from.
type Origin struct {
	Kind OriginKind
	Name string // the file, the variable, the flag, or the knob that it's derived from
	Line int    // in the file
}

// String is "default", "snakepit.yaml:3", "SNAKEPIT_POOL_SIZE", "--set" or "override".
func (o Origin) String() string {
	switch o.Kind {
	case FromDefault, "":
		return string(FromDefault)
	case Derived:
		return "from " + o.Name
	case FromFile:
		if o.Line > 0 {
			return o.Name + ":" + strconv.Itoa(o.Line)
		}
	case FromEnviron, FromFlag, FromOverride:
	}
	return o.Name
}
