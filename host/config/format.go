package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// format is a value as --set would have it.
func (k Knob) format(v any) string {
	for _, w := range k.Words {
		if w.Value == v && k.Kind != Choice {
			return w.Text
		}
	}
	switch v := v.(type) {
	case time.Duration:
		return formatDuration(v)
	case int64:
		return formatBytes(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []int:
		return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(v)), ", "), "[]")
	case []string:
		return strings.Join(v, ", ")
	case map[string]int:
		return join(v, ":")
	case map[string]string:
		return join(v, "=")
	}
	return fmt.Sprint(v)
}

func join[T any](m map[string]T, sign string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprint(key, sign, m[key]))
	}
	return strings.Join(parts, ",")
}
