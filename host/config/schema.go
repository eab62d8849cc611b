package config

import "encoding/json"

// Schema is the JSON Schema of a configuration file, for editors.
func Schema() ([]byte, error) {
	pool := object(properties(func(k Knob) bool { return k.Scope == OfPool }))
	top := properties(func(Knob) bool { return true })
	named := object(properties(func(k Knob) bool { return k.Scope == OfPool }))
	name := map[string]any{"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", "description": "The pool's name."}
	withName, _ := named["properties"].(map[string]any)
	withName[nameKey] = name
	named["required"] = []string{nameKey}
	top[poolsKey] = map[string]any{
		"description": "Several pools: a list of maps with a name, or a map by name.",
		"oneOf": []any{
			map[string]any{"type": "array", "maxItems": maxPools, "items": named},
			map[string]any{"type": "object", "maxProperties": maxPools, "additionalProperties": pool},
		},
	}
	legacy := object(properties(func(k Knob) bool { return k.Scope == OfPool }))
	legacy["deprecated"] = true
	top[poolConfigKey] = legacy
	whole := object(top)
	whole["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	whole["title"] = "Snakepit configuration"
	return json.MarshalIndent(whole, "", "  ")
}

func object(properties map[string]any) map[string]any {
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

// properties are knobs by all their names, and groups of them.
func properties(want func(Knob) bool) map[string]any {
	all := map[string]any{}
	for _, k := range Knobs() {
		if !want(k) {
			continue
		}
		all[k.Name] = k.schema()
		for _, a := range k.Aliases {
			old := k.schema()
			old["deprecated"] = true
			old["description"] = "Another name of " + k.Name + "; a number is in " + a.Unit.word(k.Kind) + "."
			delete(old, "default")
			all[a.Name] = old
		}
	}
	for _, g := range groups() {
		inner := map[string]any{}
		for name, p := range all {
			if rest, ok := cutGroup(name, g); ok {
				inner[rest] = p
			}
		}
		if len(inner) == 0 {
			continue
		}
		asMap := object(inner)
		if plain, ok := all[g]; ok {
			all[g] = map[string]any{"oneOf": []any{plain, asMap}}
			continue
		}
		all[g] = asMap
	}
	return all
}

func (u Unit) word(k Kind) string {
	switch {
	case u == Milliseconds:
		return "milliseconds"
	case u == Mebibytes:
		return "MiB"
	case k == Duration:
		return "seconds"
	case k == Bytes:
		return "bytes"
	}
	return "ones"
}

// schema is a knob's own. Ranges that a text may break are left to the parser.
func (k Knob) schema() map[string]any {
	s := map[string]any{"description": k.Text}
	if k.Default != "" {
		s["default"] = k.plainDefault()
	}
	variable := map[string]any{"type": "string", "pattern": `\$\{[A-Za-z_]`, "description": "from the environment"}
	kinds := append(k.schemas(), variable, map[string]any{"type": "null"})
	for _, w := range k.Words {
		kinds = append(kinds, map[string]any{"const": w.Text})
	}
	s["anyOf"] = kinds
	return s
}

func (k Knob) plainDefault() any {
	switch k.Kind {
	case Duration, Bytes:
		return k.Default
	case Int, Number, Bool, Text, Choice, Ints, Texts, Counts, TextMap:
	}
	if v := k.plain(k.value()); v != nil {
		return v
	}
	return k.Default
}

// schemas are the forms that a value may have.
func (k Knob) schemas() []any {
	text := map[string]any{"type": "string"}
	switch k.Kind {
	case Int, Number:
		return []any{k.ranged(k.Kind)}
	case Duration:
		return []any{
			map[string]any{"type": "number"},
			map[string]any{"type": "string", "pattern": `^ *[0-9.]+ *(ns|us|µs|ms|s|m|h|d|milliseconds?|seconds?|minutes?|hours?|days?)( *[0-9.]+ *(ms|s|m|h))* *$`},
		}
	case Bytes:
		return []any{map[string]any{"type": "integer", "minimum": 0}, map[string]any{"type": "string", "pattern": `^ *[0-9]+ *(KiB|MiB|GiB|TiB)? *$`}}
	case Bool:
		return []any{map[string]any{"type": "boolean"}}
	case Choice:
		return []any{map[string]any{"enum": k.Choices}}
	case Ints:
		return []any{map[string]any{"type": "array", "items": k.ranged(Int)}, text}
	case Texts:
		return []any{map[string]any{"type": "array", "items": text}, text}
	case Counts:
		return []any{map[string]any{"type": "object", "additionalProperties": k.ranged(Int)}, text}
	case TextMap:
		return []any{map[string]any{"type": "object", "additionalProperties": map[string]any{"type": []string{"string", "number", "boolean"}}}, text}
	case Text:
	}
	return []any{map[string]any{"type": []string{"string", "number"}}}
}

// ranged is a number within the knob's bounds.
func (k Knob) ranged(kind Kind) map[string]any {
	s := map[string]any{"type": "number"}
	if kind == Int {
		s["type"] = "integer"
	}
	for key, bound := range map[string]string{"minimum": k.Min, "maximum": k.Max} {
		if v, err := parse(kind, bound); err == nil {
			s[key] = v
		}
	}
	return s
}

// groups are the names that, as maps, hold knobs whose names begin with theirs.
func groups() []string {
	return []string{"heartbeat", "crash_barrier", "retry", "breaker", "circuit_breaker", "limit", "python_thread_limits", "session"}
}

func cutGroup(name, group string) (string, bool) {
	if len(name) > len(group)+1 && name[:len(group)+1] == group+"_" {
		return name[len(group)+1:], true
	}
	return "", false
}
