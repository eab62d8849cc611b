package config

import (
	"fmt"
	"strings"
)

// Markdown is docs/configuration.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Configuration\n\n" +
		"Each knob is set with `--set knob=value`, any number of times; from Go with `embed.Config{Set: []string{\"knob=value\"}}`.\n" +
		"Lengths of time are written as `500ms`, `2s`, `1h30m`, or plain seconds; sizes as `1048576`, `64KiB`, `256MiB` or `1GiB`.\n" +
		"A name that doesn't exist, or a value outside its range, is an error before anything starts.\n\n" +
		"| knob | governs | type | default | range | what it does |\n|---|---|---|---|---|---|\n")
	for _, k := range Knobs() {
		def := "`" + k.Default + "`"
		if k.Default == "" {
			def = "empty"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", k.Name, k.Layer, k.Kind, def, k.Range(), k.Text)
	}
	b.WriteString("\nThis page is made from the table in `host/config`: `go test ./host/config -update` rewrites it.\n")
	return b.String()
}
