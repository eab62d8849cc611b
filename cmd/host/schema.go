package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// kinds is a set of the kinds of value that an argument may have.
type kinds uint

const (
	kindNull kinds = 1 << iota
	kindBool
	kindInt
	kindNumber
	kindArray
	kindObject
	kindBytes
	kindString

	kindAny = kindNull | kindBool | kindInt | kindNumber | kindArray | kindObject | kindString
)

// walk bounds how many nodes are looked at for one argument: a schema comes from
// Python, and may refer to itself.
type walk struct{ left int }

func newWalk() *walk { return &walk{left: 256} }

// step reports whether one more node may be looked at.
func (w *walk) step() bool {
	w.left--
	return w.left >= 0
}

// schema is a node of a tool's JSON Schema. The zero value says nothing, so
// everything is allowed.
type schema struct {
	node map[string]any
	defs map[string]any
}

// newSchema reads a JSON Schema. Text that is none gives the zero value: the
// schema only helps to read arguments, and the worker judges them.
func newSchema(text string) schema {
	var node map[string]any
	if json.Unmarshal([]byte(text), &node) != nil {
		return schema{}
	}
	defs, _ := node["$defs"].(map[string]any)
	return schema{node, defs}.resolve()
}

// resolve follows a reference.
func (s schema) resolve() schema {
	for range 16 {
		ref, ok := s.node["$ref"].(string)
		if !ok {
			return s
		}
		s.node, _ = s.defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	return schema{}
}

func (s schema) sub(node any) schema {
	m, _ := node.(map[string]any)
	return schema{m, s.defs}
}

// property is the schema of one argument; the zero value where the tool has none
// of that name.
func (s schema) property(name string) schema {
	props, _ := s.node["properties"].(map[string]any)
	return s.sub(props[name]).resolve()
}

// properties are the names of the arguments: the required ones in their order, then
// the others by name.
func (s schema) properties() []string {
	props, _ := s.node["properties"].(map[string]any)
	var names []string
	for _, name := range s.required() {
		if _, ok := props[name]; ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (s schema) required() []string {
	list, _ := s.node["required"].([]any)
	var names []string
	for _, v := range list {
		if name, ok := v.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// alternatives are the schemas of which one must hold, this one where there are none.
func (s schema) alternatives() []schema {
	for _, key := range []string{"anyOf", "oneOf"} {
		list, ok := s.node[key].([]any)
		if !ok {
			continue
		}
		var out []schema
		for _, v := range list {
			out = append(out, s.sub(v))
		}
		return out
	}
	return nil
}

// enum lists the only values that are allowed; none: no such list.
func (s schema) enum() []any {
	if c, ok := s.node["const"]; ok {
		return []any{c}
	}
	list, _ := s.node["enum"].([]any)
	return list
}

// accepts tells which kinds are allowed, and every value that is listed by name.
func (s schema) accepts(w *walk) (kinds, []any) {
	s = s.resolve()
	if !w.step() {
		return kindAny, nil
	}
	if enum := s.enum(); enum != nil {
		return 0, enum
	}
	if alts := s.alternatives(); alts != nil {
		var k kinds
		var enum []any
		for _, alt := range alts {
			if w.left <= 0 {
				return kindAny, nil
			}
			ak, ae := alt.accepts(w)
			k, enum = k|ak, append(enum, ae...)
		}
		return k, enum
	}
	return s.types(), nil
}

func (s schema) types() kinds {
	switch t := s.node["type"].(type) {
	case string:
		return s.kindOf(t)
	case []any:
		var k kinds
		for _, v := range t {
			name, _ := v.(string)
			k |= s.kindOf(name)
		}
		return k
	default:
		return kindAny
	}
}

func (s schema) kindOf(name string) kinds {
	switch name {
	case "null":
		return kindNull
	case "boolean":
		return kindBool
	case "integer":
		return kindInt
	case "number":
		return kindNumber
	case "array":
		return kindArray
	case "object":
		return kindObject
	case "string":
		if s.node["contentEncoding"] == "base64" {
			return kindBytes
		}
		return kindString
	default:
		return kindAny
	}
}

// describe names the schema's type for people: "list of integers or null".
func (s schema) describe(w *walk) string {
	if !w.step() {
		return "…"
	}
	if ref, ok := s.node["$ref"].(string); ok {
		if s = s.resolve(); s.types() == kindObject {
			return strings.TrimPrefix(ref, "#/$defs/")
		}
	}
	if enum := s.enum(); enum != nil {
		return joinValues(enum, " | ")
	}
	if alts := s.alternatives(); alts != nil {
		var parts []string
		for _, alt := range alts {
			if w.left <= 0 {
				break
			}
			parts = append(parts, alt.describe(w))
		}
		return strings.Join(parts, " or ")
	}
	return s.describeType(w)
}

func (s schema) describeType(w *walk) string {
	switch t := s.node["type"].(type) {
	case []any:
		return strings.ReplaceAll(joinValues(t, " or "), `"`, "")
	case string:
		switch {
		case t == "array":
			return s.describeArray(w)
		case t == "object" && s.sub(s.node["additionalProperties"]).node != nil:
			return "map of " + s.sub(s.node["additionalProperties"]).describe(w)
		case s.kindOf(t) == kindBytes:
			return "bytes"
		}
		if format, ok := s.node["format"].(string); ok {
			return t + " (" + format + ")"
		}
		return t
	default:
		return "anything"
	}
}

func (s schema) describeArray(w *walk) string {
	if items := s.sub(s.node["items"]); len(items.node) > 0 {
		return "list of " + items.describe(w)
	}
	prefix, _ := s.node["prefixItems"].([]any)
	if len(prefix) == 0 {
		return "list"
	}
	var parts []string
	for _, p := range prefix {
		parts = append(parts, s.sub(p).describe(w))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func joinValues(list []any, sep string) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = compact(v)
	}
	return strings.Join(parts, sep)
}

// compact is a value of a schema as JSON in one line.
func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
