package exec_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/adapters/exec"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// workspace is a folder with a program, and a file that is none.
func workspace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"worker": 0o700, "notes.txt": 0o600, "bin/named": 0o700, "my worker": 0o700} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestProgramsAreFoundByPathAndByName(t *testing.T) {
	dir := workspace(t)
	t.Setenv("PATH", "relative:"+filepath.Join(dir, "bin"))
	for adapter, want := range map[string][]string{
		"exec:./worker":                        {filepath.Join(dir, "worker")},
		"exec:worker/../worker":                {filepath.Join(dir, "worker")},
		"exec:" + filepath.Join(dir, "worker"): {filepath.Join(dir, "worker")},
		"exec:named":                           {filepath.Join(dir, "bin", "named")},
		"exec: named  --flag x":                {filepath.Join(dir, "bin", "named"), "--flag", "x"},
		`exec:"./my worker" 'a b' "c \"d" ''`:  {filepath.Join(dir, "my worker"), "a b", `c "d`, ""},
	} {
		target, err := exec.Parse(adapter)
		if err != nil {
			t.Errorf("%s: %v", adapter, err)
			continue
		}
		target.Dir = dir
		cmd, err := target.Command()
		if err != nil {
			t.Errorf("%s: %v", adapter, err)
			continue
		}
		if diff := cmp.Diff(want, append([]string{cmd.Path}, cmd.Args...)); diff != "" {
			t.Errorf("%s: %s", adapter, diff)
		}
		again, err := exec.Parse(cmd.Adapter)
		if err != nil {
			t.Errorf("%s is shown as %s: %v", adapter, cmd.Adapter, err)
		}
		again.Dir = dir
		if diff := cmp.Diff(target, again); diff != "" {
			t.Errorf("%s is shown as %s: %s", adapter, cmd.Adapter, diff)
		}
	}
}

func TestBadProgramsSayWhatWasLookedFor(t *testing.T) {
	dir := workspace(t)
	t.Setenv("PATH", filepath.Join(dir, "bin"))
	for adapter, want := range map[string]string{
		"exec:":              "names no program",
		"exec:''":            "names no program",
		"exec:./nowhere":     filepath.Join(dir, "nowhere") + " doesn't exist",
		"exec:./notes.txt":   filepath.Join(dir, "notes.txt") + " isn't executable; chmod +x",
		"exec:./bin":         filepath.Join(dir, "bin") + " is a folder",
		"exec:worker":        "program worker isn't on PATH; for one in a folder write its path: exec:./worker",
		`exec:./worker "a b`: "a quote isn't closed",
	} {
		target, err := exec.Parse(adapter)
		if err == nil {
			target.Dir = dir
			_, err = target.Command()
		}
		if errdefs.ReasonOf(err) != errdefs.InvalidConfig || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want invalid_config with %q", adapter, err, want)
		}
	}
}

func TestEnvironmentAndFolderGoAlong(t *testing.T) {
	t.Parallel()
	dir := workspace(t)
	cmd, err := exec.Target{Path: "./worker", Env: []string{"MODEL=large"}, Dir: dir, WorkDir: "/srv"}.Command()
	if err != nil || cmd.Dir != "/srv" || len(cmd.Env) != 1 || cmd.Env[0] != "MODEL=large" {
		t.Errorf("%+v, %v", cmd, err)
	}
	if _, err := (exec.Target{Path: "./worker", Env: []string{"=x"}, Dir: dir}).Command(); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("an environment without a name: %v", err)
	}
}
