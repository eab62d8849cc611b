package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/nearest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// toolView is a tool as -o json shows it.
type toolView struct {
	Name         string          `json:"name"`
	Pool         string          `json:"pool"` // empty: a host tool
	Description  string          `json:"description"`
	Stream       bool            `json:"stream"`
	InputStream  string          `json:"input_stream,omitempty"`
	Idempotent   bool            `json:"idempotent"`
	InputSchema  json.RawMessage `json:"input_schema,omitempty"`
	OutputSchema json.RawMessage `json:"output_schema,omitempty"`
}

func newToolView(t snakepit.Tool) toolView {
	return toolView{
		Name: t.Name, Pool: t.Pool, Description: t.Description, Stream: t.Stream, InputStream: t.InputStream,
		Idempotent: t.Idempotent, InputSchema: rawSchema(t.InputSchema), OutputSchema: rawSchema(t.OutputSchema),
	}
}

// rawSchema is a schema as it stands; one that isn't JSON is left out.
func rawSchema(text string) json.RawMessage {
	if !json.Valid([]byte(text)) {
		return nil
	}
	return json.RawMessage(text)
}

func (p *program) toolsCommand() *cobra.Command {
	var pool string
	cmd := p.command(&cobra.Command{
		Use:   "tools [NAME] [--pool P]",
		Short: "List what can be called on the live host",
		Long: `List what can be called on the live host, or show one tool with its arguments.

With -o json: a list of objects with name, pool (empty: a function of the host), description, stream,
input_stream where the tool takes chunks, idempotent, input_schema and output_schema (JSON Schema).
With NAME the list has those of that name.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.completeTool,
	}, func(ctx context.Context, args []string) error {
		return p.withHost(ctx, func(ctx context.Context, e engine) error { return p.tools(ctx, e, args, pool) })
	})
	cmd.Flags().StringVar(&pool, "pool", "", "only the tools of pool `P`")
	complete(cmd, "pool", p.completePool)
	return cmd
}

func (p *program) tools(ctx context.Context, e engine, names []string, pool string) error {
	list, err := e.Tools(ctx)
	if err != nil {
		return err
	}
	if pool != "" {
		if err := checkPool(ctx, e, pool); err != nil {
			return err
		}
		list = slices.DeleteFunc(slices.Clone(list), func(t snakepit.Tool) bool { return t.Pool != pool })
	}
	if len(names) > 0 {
		all := list
		list = toolsNamed(list, names[0])
		if len(list) == 0 {
			return noTool(names[0], all)
		}
	}
	if p.json() {
		views := []toolView{}
		for _, t := range list {
			views = append(views, newToolView(t))
		}
		return printJSON(p.stdout, views)
	}
	if len(names) > 0 {
		return printTools(p.stdout, list)
	}
	return printToolTable(p.stdout, list)
}

func toolsNamed(list []snakepit.Tool, name string) []snakepit.Tool {
	var found []snakepit.Tool
	for _, t := range list {
		if t.Name == name {
			found = append(found, t)
		}
	}
	return found
}

func noTool(name string, list []snakepit.Tool) error {
	e := errdefs.New(errdefs.ToolNotFound, "no tool is named %q", clip(name))
	e.Hint = nearest.Hint(name, func(yield func(string) bool) {
		for _, t := range list {
			if !yield(t.Name) {
				return
			}
		}
	})
	return e
}

// checkPool fails with pool_not_found where the host has no such pool.
func checkPool(ctx context.Context, e engine, name string) error {
	st, err := e.Status(ctx)
	if err != nil {
		return err
	}
	names := make([]string, len(st.Pools))
	for i, pool := range st.Pools {
		names[i] = pool.Name
	}
	if slices.Contains(names, name) {
		return nil
	}
	missing := errdefs.New(errdefs.PoolNotFound, "no pool is named %q", clip(name))
	missing.Hint = nearest.Hint(name, slices.Values(names))
	return missing
}

func printToolTable(w io.Writer, list []snakepit.Tool) error {
	rows := [][]string{{"NAME", "POOL", "KIND", "DESCRIPTION"}}
	for _, t := range list {
		rows = append(rows, []string{t.Name, t.Pool, kindText(t), summary(t.Description)})
	}
	return table(w, rows)
}

// kindText is "stream, idempotent" and the like.
func kindText(t snakepit.Tool) string {
	var parts []string
	if t.Stream {
		parts = append(parts, "stream")
	}
	if t.InputStream != "" {
		parts = append(parts, "takes chunks")
	}
	if t.Idempotent {
		parts = append(parts, "idempotent")
	}
	return strings.Join(parts, ", ")
}

// printTools shows tools in full.
func printTools(w io.Writer, list []snakepit.Tool) error {
	for i, t := range list {
		text := describeTool(t)
		if i > 0 {
			text = "\n" + text
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

func describeTool(t snakepit.Tool) string {
	var b strings.Builder
	b.WriteString(clean(t.Name) + "  (" + strings.Join(toolFacts(t), ", ") + ")\n")
	if d := strings.TrimSpace(t.Description); d != "" {
		b.WriteString("\n")
		for line := range strings.Lines(clean(d)) {
			b.WriteString(strings.TrimRight("  "+line, " \n") + "\n")
		}
	}
	input, output := newSchema(t.InputSchema), newSchema(t.OutputSchema)
	b.WriteString("\narguments\n" + fields(input))
	word := "result"
	if t.Stream {
		word = "each chunk"
	}
	if output.node != nil {
		b.WriteString("\n" + word + "\n  " + cell(resultText(output, t.OutputSchema)) + "\n")
	}
	for _, part := range definitions(input, output) {
		b.WriteString("\n" + part)
	}
	return b.String()
}

func toolFacts(t snakepit.Tool) []string {
	facts := []string{"a function of the host"}
	if t.Pool != "" {
		facts = []string{"pool " + cell(t.Pool)}
	}
	if t.Stream {
		facts = append(facts, "yields chunks")
	}
	if t.InputStream != "" {
		facts = append(facts, "takes chunks as "+cell(t.InputStream))
	}
	if t.Idempotent {
		facts = append(facts, "idempotent")
	}
	return facts
}

// resultText names a result's type; a reference at the top keeps its name.
func resultText(output schema, text string) string {
	var top map[string]any
	if json.Unmarshal([]byte(text), &top) == nil && top["$ref"] != nil {
		return output.sub(top).describe(newWalk())
	}
	return output.describe(newWalk())
}

// fields lists the properties of an object, a line each.
func fields(s schema) string {
	names := s.properties()
	if len(names) == 0 {
		return "  none\n"
	}
	required := s.required()
	rows := make([][]string, len(names))
	for i, name := range names {
		props, _ := s.node["properties"].(map[string]any)
		prop := s.sub(props[name])
		rows[i] = []string{"  " + name, prop.describe(newWalk()), fieldNote(prop, slices.Contains(required, name))}
	}
	var b strings.Builder
	_ = table(&b, rows) // a builder never fails
	return b.String()
}

func fieldNote(s schema, required bool) string {
	note := "optional"
	if required {
		note = "required"
	}
	if d, ok := s.node["default"]; ok {
		note = "default " + compact(d)
	}
	for _, limit := range [][2]string{
		{"minimum", ">="},
		{"exclusiveMinimum", ">"},
		{"maximum", "<="},
		{"exclusiveMaximum", "<"},
		{"minLength", "length >="},
		{"maxLength", "length <="},
		{"minItems", "items >="},
		{"maxItems", "items <="},
		{"pattern", "matches"},
	} {
		if v, ok := s.node[limit[0]]; ok {
			note += ", " + limit[1] + " " + compact(v)
		}
	}
	if text, ok := s.node["description"].(string); ok {
		note += ", " + summary(text)
	}
	return note
}

// definitions shows the objects that the types refer to, by name.
func definitions(schemas ...schema) []string {
	parts := map[string]string{}
	for _, s := range schemas {
		for name, node := range s.defs {
			if def := s.sub(node); len(def.properties()) > 0 {
				parts[name] = fmt.Sprintf("%s\n%s", cell(name), fields(def))
			}
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		out = append(out, parts[name])
	}
	return out
}
