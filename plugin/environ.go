package plugin

import (
	"os"
	"slices"
	"strings"
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
