package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// reloadConfigText is what `reload --config` says of itself.
const reloadConfigText = `With --config the live host reads the file again that it was started with (serve -c FILE), and applies what a
running host can take: most knobs of pools at once, what their workers are by replacing these one after the
other. What needs a restart is named, and left as it is. A file that's wrong changes nothing. SIGHUP to the
host does the same, and tells it on the host's stderr.

It prints a line for each change. With -o json: an object with changes, a list of objects with pool (empty: the
host), knob, old, new, effect ("at once", "new workers" or "restart") and applied; warnings; and failures, the errors
of pools whose new workers can't start, and whose old ones serve on. The exit code is then 1.`

// configReload is what came of a configuration that was read again.
type configReload struct {
	Changes  []configChange `json:"changes"`
	Warnings []string       `json:"warnings"`
	Failures []failure      `json:"failures"`
}

type configChange struct {
	Pool    string `json:"pool"`
	Knob    string `json:"knob"`
	Old     string `json:"old"`
	New     string `json:"new"`
	Effect  string `json:"effect"`
	Applied bool   `json:"applied"`
}

func newConfigChange(pool, knob, old, now, effect string) configChange {
	return configChange{pool, knob, old, now, effect, effect != string(config.ByRestart)}
}

func (p *program) reloadConfig(ctx context.Context, e engine) error {
	r, err := e.ReloadConfig(ctx)
	if err != nil {
		return err
	}
	if p.json() {
		err = printJSON(p.stdout, configReload{filled(r.Changes), filled(r.Warnings), filled(r.Failures)})
	} else {
		err = printReload(p.stdout, r)
	}
	if err == nil && len(r.Failures) > 0 {
		err = errdefs.New(errdefs.StartFailed, "%s couldn't start new workers, and kept the old ones", count(len(r.Failures), "pool", "s"))
	}
	return err
}

// printReload prints a line for each change, and what is in the way of others.
func printReload(w io.Writer, r configReload) error {
	if len(r.Changes) == 0 {
		if _, err := fmt.Fprintln(w, "nothing has changed"); err != nil {
			return err
		}
	}
	for _, c := range r.Changes {
		name := c.Knob
		if c.Pool != "" {
			name = c.Pool + "." + name
		}
		note := ""
		switch {
		case !c.Applied:
			note = " (needs a restart: left as it is)"
		case c.Effect == string(config.ByWorkers):
			note = " (by new workers)"
		}
		if _, err := fmt.Fprintf(w, "%s: %s -> %s%s\n", clean(name), clean(c.Old), clean(c.New), note); err != nil {
			return err
		}
	}
	for _, text := range r.Warnings {
		if _, err := fmt.Fprintf(w, "warning: %s\n", clean(text)); err != nil {
			return err
		}
	}
	for _, f := range r.Failures {
		if _, err := fmt.Fprintf(w, "pool %s keeps its workers: %s: %s\n", clean(f.Where["pool"]), f.Reason, clean(f.Message)); err != nil {
			return err
		}
	}
	return nil
}

// awaitHangup gives the signals by which a host is told to read its configuration
// again. Without a file there's none to read, and the signal ends the program as ever.
func (p *program) awaitHangup(file string) <-chan os.Signal {
	if file == "" {
		return nil
	}
	c := make(chan os.Signal, 1)
	p.hangups(c)
	return c
}

// reread has the host read its configuration again, and tells on stderr what came of it.
func (p *program) reread(ctx context.Context, h localHost) {
	r, err := h.ReloadConfig(ctx)
	switch {
	case err != nil:
		report(p.stderr, err, p.json())
	case p.json():
		_ = printJSON(p.stderr, map[string]configReload{"reload": {filled(r.Changes), filled(r.Warnings), filled(r.Failures)}}) // nobody is left to tell
	default:
		_ = printReload(p.stderr, r) // as above
	}
}

// ReloadConfig implements engine.
func (h ownHost) ReloadConfig(ctx context.Context) (configReload, error) {
	r, err := h.Host.ReloadConfig(ctx)
	if err != nil {
		return configReload{}, err
	}
	var out configReload
	for _, c := range r.Changes {
		out.Changes = append(out.Changes, newConfigChange(c.Pool, c.Knob, c.Old, c.New, string(c.Effect)))
	}
	for _, w := range r.Warnings {
		out.Warnings = append(out.Warnings, w.String())
	}
	for _, e := range r.Failures {
		out.Failures = append(out.Failures, newFailure(e))
	}
	return out, nil
}

// ReloadConfig implements engine.
func (h liveHost) ReloadConfig(ctx context.Context) (configReload, error) {
	r, err := h.Client.ReloadConfig(ctx)
	if err != nil {
		return configReload{}, err
	}
	out := configReload{Warnings: r.GetWarnings()}
	for _, c := range r.GetChanges() {
		out.Changes = append(out.Changes, newConfigChange(c.GetPool(), c.GetKnob(), c.GetOld(), c.GetNew(), c.GetEffect()))
	}
	for _, e := range r.GetFailures() {
		out.Failures = append(out.Failures, newFailure(errdefs.FromProto(e)))
	}
	return out, nil
}
