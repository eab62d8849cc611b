package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestCleanupLooksWhereItIsTold(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]embed.CleanupConfig{
		"":                           {DataDir: "HOME", RunFolders: true},
		"--dry-run":                  {DataDir: "HOME", RunFolders: true, DryRun: true},
		"--data-dir /d":              {DataDir: "/d"},
		"--instance b":               {DataDir: "HOME", Instance: "b"},
		"--data-dir /d --instance b": {DataDir: "/d", Instance: "b"},
	} {
		o := runWith(t.Context(), t, &fakeHost{}, nil, append([]string{"cleanup"}, strings.Fields(args)...)...)
		if o.code != 0 || o.stdout != "nothing was left behind\n" || len(o.swept) != 1 {
			t.Fatalf("%s: exit %d, %q, %s", args, o.code, o.stdout, o.stderr)
		}
		got := o.swept[0]
		if strings.HasSuffix(got.DataDir, filepath.Join(".local", "state", "snakepit")) {
			got.DataDir = "HOME"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", args, diff)
		}
		if missing := strings.Contains(o.stderr, "there is no data directory"); missing != (strings.Contains(args, "-d") && !strings.Contains(args, "--dry") || strings.Contains(args, "instance")) {
			t.Errorf("%s: stderr %q", args, o.stderr)
		}
	}
}

func TestCleanupFailsOverWhatItCouldNotEnd(t *testing.T) {
	t.Parallel()
	h := &fakeHost{report: fixedReport(embed.Stuck)}
	o := runWith(t.Context(), t, h, nil, "cleanup")
	if o.code != 1 || !strings.Contains(o.stderr, "1 process couldn't be ended: 4713") || !strings.Contains(o.stdout, "couldn't end  process 4713") {
		t.Errorf("exit %d, %s%s", o.code, o.stdout, o.stderr)
	}
	o = runWith(t.Context(), t, h, nil, "cleanup", "-o", "json")
	var r embed.Report
	if err := json.Unmarshal([]byte(o.stdout), &r); o.code != 1 || err != nil || len(r.Stuck()) != 1 {
		t.Errorf("exit %d, %v, %s%s", o.code, err, o.stdout, o.stderr)
	}
}

func TestCleanupShowsWhatItFoundBeforeItFailed(t *testing.T) {
	t.Parallel()
	h := &fakeHost{report: fixedReport(embed.Ended), err: errdefs.New(errdefs.DiskFull, "no room")}
	o := runWith(t.Context(), t, h, nil, "cleanup")
	if o.code != 1 || !strings.Contains(o.stdout, "process 4713") || !strings.Contains(o.stderr, "disk_full: no room") {
		t.Errorf("exit %d, %s%s", o.code, o.stdout, o.stderr)
	}
}

func TestInstanceHasADataDirectoryOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"serve", "call f"} {
		args := append(strings.Fields(command), "--adapter", "x.py", "--instance", "b", "--data-dir", "/d")
		o := runWith(t.Context(), t, &fakeHost{give: pack(t, 1), ended: errdefs.New(errdefs.Internal, "over")}, nil, args...)
		if len(o.launched) != 1 || o.launched[0].DataDir != "/d/instances/b" {
			t.Errorf("%s: launched %+v, %s", command, o.launched, o.stderr)
		}
	}
	o := runWith(t.Context(), t, &fakeHost{}, nil, "status", "--data-dir", "/d", "--instance", "b")
	if o.code != 1 || !strings.Contains(o.stderr, "/d/instances/b/host.json") {
		t.Errorf("status: exit %d, %s", o.code, o.stderr)
	}
}

// fixedReport has a folder in each state; outcome is that of its one process.
func fixedReport(outcome embed.Outcome) embed.Report {
	dead := embed.Folder{
		State: embed.Abandoned, DataDir: "/data/instances/b", RunDir: "/run/snakepit/00000003",
		Processes: []embed.Process{{PID: 4713, Command: "python -m tool", Token: "89abcdef", Outcome: outcome}},
		Removed:   []string{}, Records: []string{},
	}
	if outcome == embed.Stuck {
		dead.Note = "it stays until its processes have ended"
	} else {
		dead.Removed = []string{"/run/snakepit/00000003/api.sock", "/run/snakepit/00000003", "/data/instances/b/host.json"}
		dead.Records = []string{"default-1"}
	}
	return embed.Report{
		DryRun: outcome == embed.WouldEnd,
		Folders: []embed.Folder{
			{
				State: embed.Live, DataDir: "/data", RunDir: "/run/snakepit/00000001", HostPID: 4711,
				Processes: []embed.Process{}, Removed: []string{}, Records: []string{},
			},
			{
				State: embed.Waiting, DataDir: "/data/instances/a", RunDir: "/run/snakepit/00000002", Note: "its host is dead",
				Processes: []embed.Process{{PID: 4712, Command: "python -c 0", Token: "01234567", Outcome: embed.Kept}},
				Removed:   []string{}, Records: []string{},
			},
			dead,
			{
				State: embed.Abandoned, RunDir: "/run/snakepit/00000004", Processes: []embed.Process{},
				Removed: []string{"/run/snakepit/00000004"}, Records: []string{},
			},
		},
		Cgroups: []embed.Cgroup{{Path: "/sys/fs/cgroup/snakepit-99", Processes: []embed.Process{{PID: 4714, Command: "sleep 9", Outcome: embed.Ended}}}},
	}
}
