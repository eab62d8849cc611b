package plugin

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
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
	env := environ([]string{"MODEL=large", "PLUGIN_MULTIPLEX_GRPC=true", "SNAKEPIT_WORKER_TOKEN=forged", "PATH=/usr/bin"}, host.WorkerSettings{})
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

func TestNumericLibrariesGetAsManyThreadsAsTheSettingsSay(t *testing.T) {
	unset(t, "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
	t.Setenv("OMP_NUM_THREADS", "6")
	extra := []string{"MKL_NUM_THREADS=3"}
	for threads, want := range map[int][]string{
		0:  {"MKL_NUM_THREADS=3", "NUMEXPR_NUM_THREADS=1", "OMP_NUM_THREADS=6", "OPENBLAS_NUM_THREADS=1", "VECLIB_MAXIMUM_THREADS=1"},
		4:  {"MKL_NUM_THREADS=3", "NUMEXPR_NUM_THREADS=4", "OMP_NUM_THREADS=6", "OPENBLAS_NUM_THREADS=4", "VECLIB_MAXIMUM_THREADS=4"},
		-1: {"MKL_NUM_THREADS=3", "OMP_NUM_THREADS=6"},
	} {
		var got []string
		for _, kv := range environ(extra, host.WorkerSettings{Threads: threads}) {
			if strings.Contains(kv, "_THREADS=") {
				got = append(got, kv)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("threads %d: %s", threads, diff)
		}
	}
}

func TestSlotsAreToldOnlyWhenTheyAreSet(t *testing.T) {
	t.Setenv("SNAKEPIT_WORKER_SLOTS", "9") // of a host that is a worker itself
	for slots, want := range map[int][]string{0: nil, 8: {"SNAKEPIT_WORKER_SLOTS=8"}} {
		var got []string
		for _, kv := range environ([]string{"SNAKEPIT_WORKER_SLOTS=7"}, host.WorkerSettings{Slots: slots}) {
			if strings.HasPrefix(kv, "SNAKEPIT_WORKER_SLOTS=") {
				got = append(got, kv)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("slots %d: %s", slots, diff)
		}
	}
}

// unset takes variables away for the length of a test.
func unset(t *testing.T, keys ...string) {
	t.Helper()
	for _, key := range keys {
		t.Setenv(key, "") // puts it back in the end
		if err := os.Unsetenv(key); err != nil {
			t.Fatal(err)
		}
	}
}
