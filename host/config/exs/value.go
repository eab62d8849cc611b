package exs

// Kind is what a value is.
type Kind int

// The kinds.
const (
	Unread Kind = iota // no literal; a Problem says so
	Nil
	Bool
	Number
	Text
	Atom
	Module
	List
	Tuple
	Map // or a keyword list
	Env // System.get_env with a default
)

// Value is a literal.
type Value struct {
	Kind    Kind
	Line    int
	Text    string // of all but lists, tuples and maps; the variable of an Env
	Default string // of an Env
	Items   []Value
	Pairs   []Pair
}

// Pair is a key with its value.
type Pair struct {
	Key   string
	Line  int
	Value Value
}

// Problem is something that isn't literal, or that isn't read for another reason.
type Problem struct {
	Line int
	Text string // what stands there, and why it isn't read
}

// Script is what a configuration script says of one application.
type Script struct {
	Settings []Pair // in their order
	Problems []Problem
	Skipped  int // statements about other applications
}
