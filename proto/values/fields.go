package values

import (
	"reflect"
	"slices"
	"strings"
)

// maxEmbedding ends the embedding of a type in itself.
const maxEmbedding = 16

// A Field is a field of a struct as it travels.
type Field struct {
	Name     string
	Type     reflect.Type
	Required bool // [DecodeStrict] wants it
}

// FieldsOf lists the fields of a struct type, in order, for those who describe it.
func FieldsOf(t reflect.Type) []Field {
	var out []Field
	for _, f := range fieldsOf(t) {
		out = append(out, Field{Name: f.name, Type: t.FieldByIndex(f.index).Type, Required: f.required(t)})
	}
	return out
}

// A field is a Field with what encoding and decoding need.
type field struct {
	name      string
	index     []int
	omitEmpty bool
	omitZero  bool
}

// required: an argument that must be given.
func (f field) required(t reflect.Type) bool {
	kind := t.FieldByIndex(f.index).Type.Kind()
	return !f.omitEmpty && !f.omitZero && kind != reflect.Pointer && kind != reflect.Interface
}

// fieldsOf lists a struct's fields in order; of two with one name the less deeply
// embedded counts.
func fieldsOf(t reflect.Type) []field {
	var out []field
	collect(t, nil, func(f field) {
		i := slices.IndexFunc(out, func(o field) bool { return o.name == f.name })
		switch {
		case i < 0:
			out = append(out, f)
		case len(f.index) < len(out[i].index):
			out[i] = f
		}
	})
	return out
}

func collect(t reflect.Type, parent []int, add func(field)) {
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, skip := tagOf(sf)
		index := append(slices.Clone(parent), i)
		if skip {
			continue
		}
		if inner, ok := embedded(sf); ok && name == "" && len(index) <= maxEmbedding {
			collect(inner, index, add)
			continue
		}
		if !sf.IsExported() {
			continue
		}
		if name == "" {
			name = sf.Name
		}
		add(field{name, index, slices.Contains(options, "omitempty"), slices.Contains(options, "omitzero")})
	}
}

// embedded is the struct whose fields count as the outer one's. A pointer is
// followed only where its type is exported: others can't be filled in.
func embedded(sf reflect.StructField) (reflect.Type, bool) {
	t := sf.Type
	if !sf.Anonymous {
		return nil, false
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
		if !sf.IsExported() {
			return nil, false
		}
	}
	return t, t.Kind() == reflect.Struct && !isLeaf(t)
}

func tagOf(sf reflect.StructField) (name string, options []string, skip bool) {
	tag, ok := sf.Tag.Lookup("json")
	if !ok {
		tag = sf.Tag.Get("msgpack")
	}
	if tag == "-" {
		return "", nil, true
	}
	parts := strings.Split(tag, ",")
	return parts[0], parts[1:], false
}

// findField looks for a name: exactly, else without regard to case.
func findField(fields []field, name string) int {
	if i := slices.IndexFunc(fields, func(f field) bool { return f.name == name }); i >= 0 {
		return i
	}
	return slices.IndexFunc(fields, func(f field) bool { return strings.EqualFold(f.name, name) })
}
