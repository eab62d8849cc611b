package config

import (
	"fmt"
	"strings"
)

// Example is a configuration file that the reference shows.
type Example struct {
	Name string // of the file
	Text string // its first line is a comment that says what it's for
}

// Markdown is docs/configuration.md.
func Markdown(examples []Example) string {
	var b strings.Builder
	b.WriteString(intro())
	b.WriteString("\n## Examples\n")
	for _, e := range examples {
		title, text, _ := strings.Cut(e.Text, "\n")
		fmt.Fprintf(&b, "\n%s ([%s](../examples/config/%s)):\n\n```yaml\n%s```\n", strings.TrimPrefix(title, "# "), e.Name, e.Name, text)
	}
	b.WriteString("\n## Knobs\n\nOf: whether it's the host's, at the top alone, or a pool's. Change: what a running host needs for a new value to count.\n")
	layer := ""
	for _, k := range Knobs() {
		if k.Layer != layer {
			layer = k.Layer
			b.WriteString("\n### " + strings.ToUpper(layer[:1]) + layer[1:] + "\n\n| knob | of | type | default | range | change | what it does |\n|---|---|---|---|---|---|---|\n")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", k.Name, k.Scope, k.Kind, k.defaultCell(), k.Range(), k.Effect, k.Text)
	}
	b.WriteString(profileTable())
	b.WriteString(aliasTable())
	b.WriteString("\nThis page is made from the table in `host/config`: `go test ./host/config -update` rewrites it.\n")
	return b.String()
}

func (k Knob) defaultCell() string {
	if k.Default == "" {
		return "empty"
	}
	return "`" + k.Default + "`"
}

func intro() string {
	return "# Configuration\n\n" +
		"From the weakest to the strongest: the defaults, a YAML file (`snakepit serve -c FILE`, or the file that `SNAKEPIT_CONFIG` names), the\n" +
		"environment (`SNAKEPIT_QUEUE_SIZE=50`), and flags (`--set queue_size=50`, any number of times; `--set pools.ml.queue_size=50` for one pool).\n" +
		"A stronger source goes before a weaker one, wherever the value stands in it. Without `-c` and `SNAKEPIT_CONFIG` no file is looked for.\n" +
		"From Go: `embed.Config{File: …, Environ: os.Environ(), Set: []string{\"queue_size=50\"}}`.\n\n" +
		"Lengths of time are written as `500ms`, `2s`, `1h30m`, `7d`, `30 minutes`, or plain seconds; sizes as `1048576`, `64KiB`, `256MiB` or `1GiB`; where there's\n" +
		"no bound, `infinity` or `unlimited`. In a file `${NAME}` is the value of an environment variable, `${NAME:-default}` does without it, and `$$` is a dollar.\n" +
		"Knobs whose names begin alike may be written as a map: `retry: {max_attempts: 5}` is `retry_max_attempts: 5`.\n\n" +
		"One pool is configured at the top, with `adapter`; several under `pools`, as a list of maps with a `name`, or as a map by name. Each pool's own knobs lie over\n" +
		"those at the top, which all pools share. Relative paths in a file are relative to its folder.\n\n" +
		"A name that doesn't exist, a value outside its range, or two that contradict each other are errors before anything starts: all of them at once, each with its line, and\n" +
		"the nearest name. `SNAKEPIT_WORKER_…`, `SNAKEPIT_PLUGIN…` and `SNAKEPIT_PYTHON_RUNTIME_…` belong to the host's talk with its workers and are ignored, as are the variables that\n" +
		"Kubernetes sets for a service called snakepit (`SNAKEPIT_SERVICE_…`, `SNAKEPIT_PORT…`).\n\n" +
		"`snakepit config check` says what's wrong or odd, `config show` what holds and where it's from, `config defaults` prints a file to begin with, `config schema` a JSON\n" +
		"Schema for editors, and `config migrate FILE.exs` translates the Elixir project's settings. SIGHUP to the host, or `snakepit reload --config`, reads the file again: what a\n" +
		"change needs to count is in the column *change*, and what can't be changed in a running host is named. A file that's wrong changes nothing.\n\n" +
		"`snakepit pools set default pool_size=8` sets a knob of a pool on all hosts of the cluster, over all those sources, at once and for their later starts; a host by itself is a\n" +
		"cluster of one. It takes a pool's knobs whose change is *at once*, and checks their values as it would check a file's. `snakepit pools unset` goes back to each host's own\n" +
		"configuration, `snakepit pools overrides` lists what is set and what the host itself has. Such a value is from `override`.\n"
}

func profileTable() string {
	var b strings.Builder
	b.WriteString("\n## Timeout profiles\n\n`timeout_profile` sets these where they aren't set.\n\n| profile | call_timeout | stream_timeout | queue_timeout |\n|---|---|---|---|\n")
	for _, p := range profiles() {
		stream := formatDuration(p.stream)
		if p.stream == Forever {
			stream = forever()[0].Text
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", p.name, formatDuration(p.call), stream, formatDuration(p.queue))
	}
	b.WriteString("\nWhat's inside ends before what's around it: where only one of two is set, the other follows (`call_timeout: 2s` alone makes `queue_timeout` 1s);\n" +
		"where both are and the inner one could never come to its end, `config check` and the host's log say so.\n")
	return b.String()
}

func aliasTable() string {
	var b strings.Builder
	b.WriteString("\n## Other names\n\nThe Elixir project's names are read as well, and `workers`, as the flag has it; a bare number is in their own unit. Its names that aren't here are refused with what there is instead.\n\n" +
		"| name | is | a number is in |\n|---|---|---|\n")
	for _, k := range Knobs() {
		for _, a := range k.Aliases {
			unit := a.Unit.word(k.Kind)
			if unit == "ones" {
				unit = ""
			}
			fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", a.Name, k.Name, unit)
		}
	}
	return b.String()
}
