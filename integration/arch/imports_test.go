// Package arch_test holds the rules about the shape of the project that no linter
// checks for us: which package may import which, that every package says what it
// is, that no goroutine goes unowned, that tests don't sleep, and that the text
// speaks of the project alone.
//
// Each rule is a function from what it looks at to the faults it found, so that
// planted_test.go can show that it finds them.
package arch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/snakepit-go/snakepit"

// mayImport is the whole architecture: for each package, which of ours it may
// import; "" is the module's root. A package absent from it is a fault; so is an
// import that is absent from its row.
func mayImport() map[string][]string {
	return map[string][]string{
		"":                     {"proto/errdefs", "proto/values"},
		"proto/snakepit/v1":    {},
		"proto/errdefs":        {"proto/snakepit/v1"},
		"proto/values":         {"proto/errdefs"},
		"proto/names":          {"proto/errdefs"},
		"host":                 {"host/nearest", "proto/errdefs", "proto/names"},
		"host/boltfile":        {},
		"host/config":          {"host/config/exs", "host/nearest", "proto/errdefs", "proto/names"},
		"host/config/exs":      {},
		"host/members":         {"proto/snakepit/v1"},
		"host/nearest":         {},
		"host/watch":           {},
		"host/hosttest":        {"host", "proto/errdefs", "proto/values"},
		"host/client":          {"", "proto/errdefs", "proto/snakepit/v1", "proto/values"},
		"host/rpc":             {"host", "host/config", "host/members", "proto/errdefs", "proto/names", "proto/snakepit/v1", "proto/values"},
		"plugin":               {"host", "plugin/hardware", "plugin/lane", "plugin/ledger", "plugin/proc", "plugin/shim", "proto/errdefs", "proto/names", "proto/snakepit/v1"},
		"plugin/hardware":      {},
		"plugin/proc":          {},
		"plugin/shim":          {"plugin/proc"},
		"plugin/ledger":        {"host", "host/boltfile", "proto/errdefs"},
		"plugin/lane":          {"proto/errdefs", "proto/names", "proto/snakepit/v1"},
		"plugin/lane/lanetest": {"plugin/lane", "proto/errdefs", "proto/snakepit/v1", "proto/values"},
		"cluster":              {"host", "host/boltfile", "proto/errdefs", "proto/names", "proto/snakepit/v1"},
		"plugin/worker":        {"", "plugin/lane", "proto/errdefs", "proto/names", "proto/snakepit/v1", "proto/values"},
		"adapters/program":     {},
		"cluster/link":         {"proto/errdefs", "proto/names", "proto/snakepit/v1"},
		"adapters/exec":        {"adapters/program", "host", "proto/errdefs"},
		"adapters/python":      {"adapters/program", "host", "proto/errdefs"},
		"host/embed":           {"", "adapters/exec", "adapters/python", "host", "cluster", "cluster/link", "host/config", "host/members", "host/nearest", "host/rpc", "host/watch", "plugin", "plugin/ledger", "plugin/proc", "plugin/shim", "proto/errdefs", "proto/names", "proto/snakepit/v1", "proto/values"},
		"cmd/host":             {"", "cluster/link", "host", "host/client", "host/config", "host/embed", "host/members", "host/nearest", "plugin/hardware", "plugin/proc", "proto/errdefs", "proto/snakepit/v1", "proto/values"},
		"examples/cluster":     {"", "host/client"},
		"examples/digits":      {"", "host/embed"},
		"examples/goworker":    {"plugin/worker", "proto/errdefs"},
		"examples/kv":          {"examples/kv/kvpb", "examples/kv/kvplugin"},
		"examples/kv/kvpb":     {},
		"examples/kv/kvplugin": {"examples/kv/kvpb"},
		"integration/arch":     {},
		"integration/census":   {"plugin/proc"},
		"integration/program":  {},
		"integration/chaos":    {},
		"integration/failover": {"", "cluster/link", "host/client", "proto/errdefs"},
		"integration":          {},
	}
}

// mustNotReach limits what a package may pull in, however far down.
func mustNotReach() map[string][]string {
	return map[string][]string{
		"host":        {"os/exec", "github.com/hashicorp/raft", "github.com/hashicorp/go-plugin", "go.etcd.io"},
		"host/client": {"github.com/hashicorp", "go.etcd.io"},
		// It's executed again as a process that must stay small.
		"plugin/shim": {"google.golang.org", "github.com/hashicorp", "go.etcd.io", "net/http"},
		"plugin":      {module + "/cluster", "github.com/hashicorp/raft"},
		"cluster":     {module + "/plugin", "github.com/hashicorp/go-plugin", "os/exec"},
	}
}

// pkg is what `go list` says about one package.
type pkg struct {
	ImportPath, Dir, Doc               string
	Imports, Deps                      []string
	GoFiles, TestGoFiles, XTestGoFiles []string
}

// name is the path inside the module.
func (p pkg) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

func (p pkg) generated() bool { return strings.HasPrefix(p.ImportPath, module+"/proto/snakepit/") }

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", "integration",
		"-json=ImportPath,Dir,Doc,Imports,Deps,GoFiles,TestGoFiles,XTestGoFiles", module+"/...")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &complaints)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsFollowTheMap(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		report(t, importFaults(p, mayImport(), mustNotReach()))
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		report(t, docFaults(p))
	}
}

// importFaults finds imports that a package's row doesn't allow, near and far.
func importFaults(p pkg, may, mustNot map[string][]string) []string {
	allowed, ok := may[p.name()]
	if !ok {
		return []string{fmt.Sprintf("%s: no row in mayImport; say what it may import", p.ImportPath)}
	}
	var faults []string
	for _, imp := range p.Imports {
		if !within(imp, module) {
			continue
		}
		if rel := (pkg{ImportPath: imp}).name(); !slices.Contains(allowed, rel) {
			faults = append(faults, fmt.Sprintf("%s imports %q; its row allows %q", p.ImportPath, rel, allowed))
		}
	}
	for _, dep := range p.Deps {
		for _, bad := range mustNot[p.name()] {
			if within(dep, bad) {
				faults = append(faults, fmt.Sprintf("%s reaches %s", p.ImportPath, dep))
			}
		}
	}
	return faults
}

func docFaults(p pkg) []string {
	if p.Doc != "" || len(p.GoFiles) == 0 || p.generated() {
		return nil
	}
	return []string{filepath.Join(p.Dir, "doc.go") + ": no package comment"}
}

// within reports whether an import path is root or lies under it.
func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func report(t *testing.T, faults []string) {
	t.Helper()
	for _, fault := range faults {
		t.Error(fault)
	}
}
