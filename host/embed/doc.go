// Package embed runs a host inside a Go program: the one place that wires the
// engine, the launcher of Python workers, the registry and the API together.
//
//	sp, err := embed.Start(ctx, embed.Config{Adapter: "digits.py", Workers: 2})
//	if err != nil { … }
//	defer sp.Close()
//	err = sp.Call(ctx, "predict", in, &out)
//
// Without a data directory a host is private: it keeps nothing, and everything
// of its own is gone when it ends, or swept by the next start when it was killed.
// Several hosts in one program work; two on one data directory don't.
//
// # Concurrency
//
// A [Host] is safe for concurrent use. It owns every goroutine that it starts;
// [Host.Close] and [Host.Shutdown] return after the last one ended, and
// [Host.Wait] tells why.
//
// # Errors
//
// invalid_config for what is wrong with the configuration, start_failed with the
// Python exception when the adapter can't start, exists when another host has the
// data directory. A failed start undoes everything.
package embed
