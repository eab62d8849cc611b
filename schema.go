package snakepit

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"time"

	"github.com/snakepit-go/snakepit/proto/values"
)

// maxSchemaDepth ends the schema of a type that holds itself; deeper values are
// described as anything.
const maxSchemaDepth = 8

// SchemaOf is the JSON Schema of a tool's arguments, read off their Go type: a
// struct, or a map with string keys.
func SchemaOf[In any]() (string, error) {
	t := reflect.TypeFor[In]()
	s := schemaOfType(t, 0)
	if s["type"] != "object" {
		return "", fmt.Errorf("its arguments are a %s; they must be a struct or a map with string keys", t)
	}
	b, err := json.Marshal(s)
	return string(b), err
}

func schemaOfType(t reflect.Type, depth int) map[string]any {
	if depth > maxSchemaDepth {
		return map[string]any{}
	}
	if s, ok := wellKnown(t); ok {
		return s
	}
	switch t.Kind() { //nolint:exhaustive // what JSON hasn't is described as anything
	case reflect.Pointer:
		return map[string]any{"anyOf": []any{schemaOfType(t.Elem(), depth+1), map[string]any{"type": "null"}}}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return map[string]any{"type": "integer"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": schemaOfType(t.Elem(), depth+1)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOfType(t.Elem(), depth+1)}
	case reflect.Struct:
		return structSchema(t, depth)
	default:
		return map[string]any{}
	}
}

// wellKnown are types that travel as something else than their Go kind.
func wellKnown(t reflect.Type) (map[string]any, bool) {
	switch t {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}, true
	case reflect.TypeFor[time.Duration]():
		return map[string]any{"type": "number", "description": "seconds"}, true
	case reflect.TypeFor[[]byte]():
		return map[string]any{"type": "string", "contentEncoding": "base64"}, true
	case reflect.TypeFor[values.Decimal]():
		return map[string]any{"type": "string", "format": "decimal"}, true
	case reflect.TypeFor[values.UUID]():
		return map[string]any{"type": "string", "format": "uuid"}, true
	case reflect.TypeFor[big.Int](), reflect.TypeFor[*big.Int]():
		return map[string]any{"type": "integer"}, true
	}
	return nil, false
}

func structSchema(t reflect.Type, depth int) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range values.FieldsOf(t) {
		properties[f.Name] = schemaOfType(f.Type, depth+1)
		if f.Required {
			required = append(required, f.Name)
		}
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		slices.Sort(required)
		s["required"] = required
	}
	return s
}
