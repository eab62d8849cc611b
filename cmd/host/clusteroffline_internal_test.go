package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host/embed"
)

// fakeOffline remembers what was asked of data directories.
type fakeOffline struct{ host *fakeHost }

func (o fakeOffline) Restore(dataDir string, backup io.Reader, past uint64) (embed.RegistryReport, error) {
	content, err := io.ReadAll(backup)
	o.host.asked = append(o.host.asked, fmt.Sprintf("restore %s %s %d", dataDir, content, past))
	if err == nil {
		err = o.host.err
	}
	return embed.RegistryReport{DataDir: dataDir, Sessions: 7, SetAside: dataDir + "/registry.old-1"}, err
}

func (o fakeOffline) Recover(dataDir string) (embed.RegistryReport, error) {
	o.host.asked = append(o.host.asked, "recover "+dataDir)
	return embed.RegistryReport{DataDir: dataDir, Sessions: 1}, o.host.err
}

func TestOfflineCommandsAreAboutTheDataDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "b")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := clusterHostFake()
	o := runWith(t.Context(), t, h, nil, "cluster", "restore", file, "--past", "3", "--data-dir", dir)
	if want := "restored data_dir=" + dir + " sessions=7\n"; o.code != 0 || o.stdout != want || !strings.Contains(o.stderr, "is kept as "+dir+"/registry.old-1") {
		t.Errorf("%d %q %q", o.code, o.stdout, o.stderr)
	}
	o = runWith(t.Context(), t, h, nil, "cluster", "restore", "-", "--data-dir", dir, "-o", "json")
	if o.code != 0 || !strings.Contains(o.stdout, `"sessions": 7`) || o.stderr != "" {
		t.Errorf("%d %q %q", o.code, o.stdout, o.stderr)
	}
	if o = runWith(t.Context(), t, h, nil, "cluster", "recover", "--data-dir", dir); o.code != 2 || !strings.Contains(o.stderr, "--yes") {
		t.Errorf("without --yes: %d %q", o.code, o.stderr)
	}
	if o = runWith(t.Context(), t, h, nil, "cluster", "recover", "--data-dir", dir, "--yes"); o.code != 0 || o.stdout != "recovered data_dir="+dir+" sessions=1\n" {
		t.Errorf("%d %q %q", o.code, o.stdout, o.stderr)
	}
	want := []string{"restore " + dir + " content 3", `restore ` + dir + ` {"from": "stdin"} 0`, "recover " + dir}
	if diff := cmp.Diff(want, h.asked); diff != "" {
		t.Error(diff)
	}
	for _, words := range [][]string{{"restore", file}, {"recover", "--yes"}} {
		if o = runOn(t, h, append([]string{"cluster"}, words...)...); o.code != 2 || !strings.Contains(o.stderr, "stopped one") {
			t.Errorf("%v on a live host: %d %q", words, o.code, o.stderr)
		}
	}
	if o = runWith(t.Context(), t, h, nil, "cluster", "restore", filepath.Join(dir, "none"), "--data-dir", dir); o.code != 2 {
		t.Errorf("no file: %d %q", o.code, o.stderr)
	}
}
