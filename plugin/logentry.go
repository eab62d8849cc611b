package plugin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// Bounds of what one line of a worker's standard error may become in our log.
const (
	maxFields = 32
	maxKey    = 64
	maxValue  = 1 << 10
)

// logEntry is one line of standard error.
type logEntry struct {
	level   hclog.Level
	message string
	fields  []any // key, value, key, value
}

// parseEntry reads a line that a worker wrote to standard error. hclog's JSON is
// taken apart; everything else, broken JSON included, is a message at debug
// level. go-plugin's own parser panics on {"@message":123}, so it never sees one.
func parseEntry(line []byte) logEntry {
	raw := logEntry{level: hclog.Debug, message: clean(string(line), maxLine)}
	if !bytes.HasPrefix(line, []byte("{")) {
		return raw
	}
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if dec.Decode(&m) != nil {
		return raw
	}
	message, ok := m["@message"].(string)
	if !ok {
		return raw
	}
	e := logEntry{level: hclog.Info, message: clean(message, maxLine)}
	if name, isString := m["@level"].(string); isString {
		if l := hclog.LevelFromString(name); l != hclog.NoLevel {
			e.level = l
		}
	}
	e.fields = fieldsOf(m)
	return e
}

func fieldsOf(m map[string]any) []any {
	keys := make([]string, 0, len(m))
	for k := range m {
		if !strings.HasPrefix(k, "@") {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	if len(keys) > maxFields {
		keys = keys[:maxFields]
	}
	fields := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		fields = append(fields, clean(k, maxKey), clean(fmt.Sprint(m[k]), maxValue))
	}
	return fields
}

// clean makes text safe to print: valid UTF-8, no control characters but tab,
// and at most limit bytes.
func clean(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
