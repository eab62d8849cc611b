// Package plugin is about one worker process: launching it as a go-plugin
// plugin, shaking hands, opening its lane, watching it die, and ending it within
// a bound. It implements host.Launcher and host.Worker; nothing else may see
// go-plugin.
//
// go-plugin gets a runner of ours, so that it never owns a process or a pipe:
// the first line of standard output that is a handshake goes to it, everything
// else goes to the worker's log, and no line, however long or odd, can stop
// the drain or reach go-plugin's own parsers.
//
// A launcher goes on with the workers of an earlier host ([Launcher.Recover]), and with those of
// another one on this machine that is dead ([Launcher.Adopt]).
//
// # Concurrency
//
// A [Launcher] and its workers are safe for concurrent use. [Launcher.Run] owns
// the thread that forks workers (their PDEATHSIG is tied to it) and every goroutine
// of theirs; it returns after the last worker is reaped.
//
// # Errors
//
// start_failed, with the exception or the exit and the last lines of standard
// error; version_mismatch; worker_crashed. No process is left after a failed
// launch.
package plugin
