package config

import "strings"

// DefaultsYAML is a file with every knob at its default, each as a comment.
func DefaultsYAML() string {
	var b strings.Builder
	b.WriteString(`# Every knob of a Snakepit host, at its default. A line that's uncommented is set.
# What is a pool's may stand at the top, for all pools, or with one pool:
#
# pools:
#   - name: ml
#     adapter: model.py:Model
#     pool_size: 4
#
# With one pool, its knobs stand at the top, adapter among them.
`)
	layer := ""
	for _, k := range Knobs() {
		if k.Layer != layer {
			layer = k.Layer
			b.WriteString("\n# --- " + layer + " ---\n")
		}
		about := string(k.Scope) + "; " + string(k.Kind) + "; " + k.Range() + "; a change counts " + when(k.Effect)
		b.WriteString("\n# " + k.Text + "\n# (" + about + ")\n# " + k.Name + ": " + k.yaml(k.value()) + "\n")
	}
	return b.String()
}

func when(e Effect) string {
	switch e {
	case Live:
		return "at once"
	case ByWorkers:
		return "for new workers"
	case ByRestart:
		return "after a restart"
	}
	return string(e)
}
