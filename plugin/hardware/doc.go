// Package hardware tells what a machine computes with: its CPU and what that can do,
// its memory, and the accelerators that their drivers' own programs list (nvidia-smi,
// rocm-smi, rocminfo). Nothing is looked for before somebody asks.
//
// # Concurrency
//
// A [Detector] is safe for concurrent use. Those who ask while it looks wait for the
// same answer.
//
// # Errors
//
// What isn't there is no error: a machine without accelerators has a CPU. Only
// [Hardware.Select] fails, with [ErrNotAvailable] or [ErrUnknown].
package hardware
