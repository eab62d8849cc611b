package config

import (
	"fmt"
	"regexp"
	"strings"
)

// expand puts the values of environment variables in the place of ${NAME} and
// ${NAME:-default}; $$ is a dollar.
func (r *reader) expand(text string) (string, error) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), nil
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "{"):
			inner, after, closed := strings.Cut(rest[1:], "}")
			value, err := r.variable(inner, closed)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
			text = after
		default:
			b.WriteByte('$')
			text = rest
		}
	}
}

// variable is what stands for the inside of ${…}.
func (r *reader) variable(inner string, closed bool) (string, error) {
	name, otherwise, hasDefault := strings.Cut(inner, ":-")
	if !closed || !isVariable(name) {
		return "", fmt.Errorf("%q is no variable: write ${NAME}, ${NAME:-default}, or $$ for a dollar", clip("${"+inner))
	}
	value, ok := r.env(name)
	switch {
	case ok && (value != "" || !hasDefault):
		return value, nil
	case hasDefault:
		return otherwise, nil
	}
	return "", fmt.Errorf("the environment variable %s isn't set; ${%s:-default} would do without it", name, name)
}

func isVariable(name string) bool {
	ok, _ := regexp.MatchString(`^[A-Za-z_][A-Za-z0-9_]*$`, name) // the pattern is sound
	return ok
}
