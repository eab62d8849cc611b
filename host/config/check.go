package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
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

// checkErrorTypes takes CLASS, or CLASS:TEXT.
func checkErrorTypes(v any) error {
	all, _ := v.([]string)
	for _, t := range all {
		if class, _, _ := strings.Cut(t, ":"); strings.TrimSpace(class) == "" {
			return fmt.Errorf("%q names no class", clip(t))
		}
	}
	return nil
}

func checkName(v any) error {
	if name, _ := v.(string); name != "" && !names.Valid(name) {
		return errors.New("want 1 to 64 letters, digits, '_', '.' and '-', a letter or digit first")
	}
	return nil
}

// ClusterPort is the port of a node whose address names none.
const ClusterPort = "7070"

// WithPort is an address with its port; nothing stays nothing.
func WithPort(address string) string {
	if address == "" || strings.Contains(strings.TrimLeft(address, "["), ":") && !bareIPv6(address) {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), ClusterPort)
}

// bareIPv6 reports whether all colons of an address are those of an IPv6 one.
func bareIPv6(address string) bool {
	return strings.HasSuffix(address, "]") || net.ParseIP(address) != nil
}

// checkAddress takes HOST or HOST:PORT; nothing is no address.
func checkAddress(v any) error {
	address, _ := v.(string)
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(WithPort(address))
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || strings.ContainsAny(address, " /") {
		return fmt.Errorf("%q isn't HOST:PORT", clip(address))
	}
	return nil
}

func checkAddresses(v any) error {
	all, _ := v.([]string)
	for _, address := range all {
		if err := checkAddress(address); err != nil {
			return err
		}
	}
	return nil
}
