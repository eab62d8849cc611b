// Package config is the one table of knobs: each has a name, other names, a type, a
// unit, a default, a range, the layer it governs and a sentence. The loader, the
// schema, the reference page and the program's completion are all made from it.
//
// [Load] brings a YAML file, SNAKEPIT_ variables, flags and a Go program's settings
// into one checked [Config], in that order of rising precedence; both forms of a
// file, one pool at the top or several under pools, become the same. [Migrate] reads
// the Elixir project's settings.
//
// The package touches no disk and no environment: whoever calls it hands both in.
//
// # Errors
//
// [Load] reports everything that is wrong at once, as one invalid_config; [FaultsIn]
// takes it apart, each with the file's line, the variable or the flag.
package config
