package plugin

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/snakepit-go/snakepit/host"
)

// tokenVariable carries a worker's token, in its environment and in that of whatever
// it starts: by it a scan of the process table tells ours from strangers.
const tokenVariable = "SNAKEPIT_WORKER_TOKEN"

// NewInstance names a host's workers for as long as its data directory lives, and
// no other's: 16 hexadecimal digits.
func NewInstance() string { return randomHex(8) }

// newToken is a worker's: the instance, and 16 digits of its own.
func newToken(instance string) string { return instance + randomHex(tokenDigits/2) }

// tokenDigits is how many digits of a token are the worker's own.
const tokenDigits = 16

// isTokenOf tells a token of this instance from those of all others, even if it's
// half of another's name.
func isTokenOf(token, instance string) bool {
	own, ok := strings.CutPrefix(token, instance)
	return ok && len(own) == tokenDigits
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// fingerprint tells whether two specs would start the same worker: by the same
// command, and with the settings that a process keeps for life.
func fingerprint(spec host.Spec) string {
	c := spec.Command
	of := []any{c.Path, c.Args, c.Env, c.Dir}
	// A worker of a host that knew no such settings has the default ones.
	s := host.WorkerSettings{Slots: spec.Settings.Slots, Threads: spec.Settings.Threads, GPUs: spec.Settings.GPUs, Limits: spec.Settings.Limits}
	if s != (host.WorkerSettings{}) {
		of = append(of, s.Slots, s.Threads, s.GPUs, s.Limits)
	}
	b, _ := json.Marshal(of) // strings and numbers always encode
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
