package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryLinkedModuleHasALicence(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", ".")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	known := knownLicences()
	for path := range strings.FieldsSeq(string(out)) {
		if known[path] == "" {
			t.Errorf("%s: add its licence to licences.txt", path)
		}
		if known[path] == "MPL-2.0" && !strings.Contains(notice, path) {
			t.Errorf("%s is under the MPL: name it in NOTICE", path)
		}
	}
}

func TestLicenceIsTheProjectsOwn(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile(filepath.Join("..", "..", "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	if licence != string(want) {
		t.Error("cmd/host/LICENSE isn't a copy of LICENSE")
	}
}

func TestVersionIsPrinted(t *testing.T) {
	t.Parallel()
	o := runWith(t.Context(), t, &fakeHost{}, nil, "version", "-o", "json")
	var v map[string]string
	if err := json.Unmarshal([]byte(o.stdout), &v); err != nil || v["version"] == "" || v["go"] == "" || v["os"] == "" || v["arch"] == "" {
		t.Errorf("%q: %v", o.stdout, err)
	}
	if o := runWith(t.Context(), t, &fakeHost{}, nil, "version"); !strings.HasPrefix(o.stdout, "snakepit "+v["version"]+" (go") {
		t.Errorf("got %q", o.stdout)
	}
}

func TestLicencesArePrinted(t *testing.T) {
	t.Parallel()
	o := runWith(t.Context(), t, &fakeHost{}, nil, "version", "--licenses")
	for _, want := range []string{"MIT License", "Mozilla Public License", "MODULE"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("%q isn't in:\n%s", want, o.stdout)
		}
	}
	o = runWith(t.Context(), t, &fakeHost{}, nil, "version", "--licenses", "-o", "json")
	var v struct {
		License, Notice string
		Modules         []module
	}
	if err := json.Unmarshal([]byte(o.stdout), &v); err != nil || v.License != licence || v.Notice != notice || len(v.Modules) == 0 {
		t.Errorf("%s: %v", o.stdout, err)
	}
}
