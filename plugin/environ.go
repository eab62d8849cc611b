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
func environ(extra []string) []string {
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
	return append(env, "PYTHONUTF8=1", "GRPC_ENABLE_FORK_SUPPORT=false")
}

// environ is all that a process has in its environment; each name stands there once.
func (p *process) environ(spec host.Spec, more ...string) []string {
	env := append(threadLimits(spec.Settings.Threads), environ(spec.Command.Env)...)
	env = append(env, more...)
	env = append(env, "SNAKEPIT_WORKER_ID="+string(p.id), tokenVariable+"="+p.token)
	return lastOfEach(append(env, p.l.nursery.environ()...))
}

// threadLimits keeps numeric libraries from starting a thread for each CPU in each
// worker. What the host's own environment or the adapter's says counts more.
func threadLimits(threads int) []string {
	if threads < 0 {
		return nil
	}
	n := strconv.Itoa(max(threads, 1))
	var env []string
	for _, name := range []string{
		"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
	} {
		env = append(env, name+"="+n)
	}
	return env
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

func inherited(key string) bool {
	exact := []string{
		"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR",
		"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME",
		"SYSTEMROOT", "TEMP", "TMP", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PATHEXT", "COMSPEC",
	}
	prefixes := []string{
		"LC_", "XDG_", "SSL_CERT_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "OMP_", "OPENBLAS_", "MKL_", "NUMEXPR_",
		"HF_", "TORCH_",
	}
	return slices.Contains(exact, key) || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}

func reserved(key string) bool {
	prefixes := []string{"PLUGIN_", "SNAKEPIT_PLUGIN", "SNAKEPIT_WORKER_", "SNAKEPIT_PYTHON_RUNTIME_"}
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}
