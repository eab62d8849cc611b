// Package config is the one table of knobs: each has a name, a type, a unit, a
// default, a range, the layer it governs and a sentence. The parser, the program's
// completion and docs/configuration.md are all made from it.
//
// # Errors
//
// [Parse] reports everything that is wrong at once, as one invalid_config.
package config
