package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/proto/names"
)

// checkEnv refuses variables that can't be, or that are ours.
func checkEnv(v any) error {
	env, _ := v.(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			return fmt.Errorf("%q is no name of an environment variable", clip(name))
		case IsReserved(name):
			return fmt.Errorf("%s is reserved: the host itself sets it", clip(name))
		}
	}
	return nil
}

// IsReserved reports whether an environment variable belongs to the host's talk
// with its workers: nobody else may set it, and as configuration it's ignored.
func IsReserved(name string) bool {
	for _, prefix := range []string{"SNAKEPIT_WORKER_", "SNAKEPIT_PLUGIN", "SNAKEPIT_PYTHON_RUNTIME_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func checkName(v any) error {
	if name, _ := v.(string); name != "" && !names.Valid(name) {
		return errors.New("want 1 to 64 letters, digits, '_', '.' and '-', a letter or digit first")
	}
	return nil
}
