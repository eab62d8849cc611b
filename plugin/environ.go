package plugin

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/snakepit-go/snakepit/host"
)

// environ is what a worker gets of the host's environment: an allow-list, since
// the rest is full of secrets, and of go-plugin's own variables when the host is
// a plugin itself. extra comes after it and wins, but can't set what is reserved.
// Last comes what the settings ask for, where nobody has said otherwise.
func environ(extra []string, s host.WorkerSettings) []string {
	var env []string
	for _, kv := range os.Environ() {
		if key, _, ok := strings.Cut(kv, "="); ok && inherited(key) {
			env = append(env, kv)
		}
	}
	for _, kv := range extra {
		if key, _, ok := strings.Cut(kv, "="); ok && !reserved(key) {
			env = append(env, kv)
		}
	}
	env = append(env, threadLimits(env, s.Threads)...)
	if s.Slots > 0 {
		env = append(env, "SNAKEPIT_WORKER_SLOTS="+strconv.Itoa(s.Slots))
	}
	return append(env, "PYTHONUTF8=1", "GRPC_ENABLE_FORK_SUPPORT=false")
}

// environ is all that a process has in its environment; each name stands there once.
func (p *process) environ(spec host.Spec, more ...string) []string {
	env := append(environ(spec.Command.Env, spec.Settings), more...)
	env = append(env, "SNAKEPIT_WORKER_ID="+string(p.id), tokenVariable+"="+p.token)
	return lastOfEach(append(env, p.l.nursery.environ()...))
}

// lastOfEach keeps the last value of each name: of two, most programs take the first.
func lastOfEach(env []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, kv := range slices.Backward(env) {
		key, _, _ := strings.Cut(kv, "=")
		if !seen[key] {
			seen[key] = true
			out = append(out, kv)
		}
	}
	slices.Reverse(out)
	return out
}

// threadLimits keeps the numeric libraries of many workers from starting as many
// threads as there are CPUs each: zero stands for one, less for no limit. A variable that
// the operator has set, for the host or the adapter, stays as it is.
func threadLimits(env []string, threads int) []string {
	if threads < 0 {
		return nil
	}
	var out []string
	for _, key := range []string{
		"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
	} {
		if !slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, key+"=") }) {
			out = append(out, key+"="+strconv.Itoa(max(threads, 1)))
		}
	}
	return out
}

func inherited(key string) bool {
	exact := []string{
		"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR",
		"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME",
		"SYSTEMROOT", "TEMP", "TMP", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PATHEXT", "COMSPEC",
	}
	prefixes := []string{
		"LC_", "XDG_", "SSL_CERT_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "OMP_", "OPENBLAS_", "MKL_", "NUMEXPR_", "VECLIB_",
		"HF_", "TORCH_",
	}
	return slices.Contains(exact, key) || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}

func reserved(key string) bool {
	prefixes := []string{"PLUGIN_", "SNAKEPIT_PLUGIN", "SNAKEPIT_WORKER_", "SNAKEPIT_PYTHON_RUNTIME_"}
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}
