// Package hosttest has what those need who test against the engine's interfaces:
// a [Launcher] whose workers are Go functions in memory, which works inside a
// testing/synctest bubble, and contract tests for whoever implements
// host.Registry ([TestRegistry]), host.ProcessRegistry ([TestProcessRegistry]),
// host.StateRegistry ([TestStateRegistry]) or host.Launcher ([TestLauncher], and [TestReattacher] where workers outlive a host).
//
// # Concurrency
//
// A [Launcher] and its workers are safe for concurrent use. A worker owns the
// goroutines of its calls; they end when their functions do, and a function that
// doesn't heed its context must heed [Call.Killed].
package hosttest
