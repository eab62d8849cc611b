package plugin

import (
	"slices"
	"testing"
)

func TestWorkersGetAnAllowListedEnvironment(t *testing.T) {
	for _, kv := range [][2]string{
		{"PATH", "/bin"},
		{"LC_ALL", "C"},
		{"AWS_SECRET_ACCESS_KEY", "secret"},
		{"PLUGIN_CLIENT_CERT", "of somebody else"},
		{"SNAKEPIT_PLUGIN", "of somebody else"},
		{"CUDA_VISIBLE_DEVICES", "1"},
	} {
		t.Setenv(kv[0], kv[1])
	}
	env := environ([]string{"MODEL=large", "PLUGIN_MULTIPLEX_GRPC=true", "SNAKEPIT_WORKER_TOKEN=forged", "PATH=/usr/bin"})
	for _, want := range []string{"PATH=/bin", "PATH=/usr/bin", "LC_ALL=C", "CUDA_VISIBLE_DEVICES=1", "MODEL=large"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if slices.Index(env, "PATH=/usr/bin") < slices.Index(env, "PATH=/bin") {
		t.Error("the adapter's PATH must come last, to win")
	}
	for _, key := range []string{"AWS_SECRET_ACCESS_KEY=", "PLUGIN_CLIENT_CERT=", "SNAKEPIT_PLUGIN=", "PLUGIN_MULTIPLEX_GRPC=", "SNAKEPIT_WORKER_TOKEN="} {
		if slices.ContainsFunc(env, func(kv string) bool { return len(kv) >= len(key) && kv[:len(key)] == key }) {
			t.Errorf("%s… reaches the worker", key)
		}
	}
}
