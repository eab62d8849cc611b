package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// licence is the project's own, a copy of the file at the root.
//
//go:embed LICENSE
var licence string

// notice names the parts of the program whose licences ask for it.
//
//go:embed NOTICE
var notice string

// licences has a line for each module that may be linked in: its path and the
// SPDX name of its licence.
//
//go:embed licences.txt
var licences string

// version is the program's own, from the tag or commit that it was built from;
// "devel" where the build doesn't know.
func version() string {
	build, ok := debug.ReadBuildInfo()
	if !ok || build.Main.Version == "" || build.Main.Version == "(devel)" {
		return "devel"
	}
	return strings.TrimPrefix(build.Main.Version, "v")
}

func (p *program) versionCommand() *cobra.Command {
	var showLicences bool
	cmd := p.command(&cobra.Command{
		Use:   "version [--licenses]",
		Short: "Print the program's version",
		Long: `Print the program's version, or with --licenses the licences of the program and of everything in it.

With -o json: an object with version, go, os and arch; with --licenses an object with license, notice and
modules, a list of objects with path, version and license.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(context.Context, []string) error {
		if showLicences {
			return p.printLicences()
		}
		return p.printVersion()
	})
	cmd.Flags().BoolVar(&showLicences, "licenses", false, "print the licences")
	return cmd
}

func (p *program) printVersion() error {
	if p.json() {
		return printJSON(p.stdout, map[string]string{
			"version": version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		})
	}
	_, err := fmt.Fprintf(p.stdout, "snakepit %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// module is a Go module that is linked in.
type module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	License string `json:"license"`
}

func (p *program) printLicences() error {
	modules := linkedModules()
	if p.json() {
		return printJSON(p.stdout, map[string]any{"license": licence, "notice": notice, "modules": modules})
	}
	if _, err := io.WriteString(p.stdout, licence+"\n"+notice+"\n"); err != nil {
		return err
	}
	rows := [][]string{{"MODULE", "VERSION", "LICENSE"}}
	for _, m := range modules {
		rows = append(rows, []string{m.Path, m.Version, m.License})
	}
	return table(p.stdout, rows)
}

// linkedModules lists what the program is built from, by path.
func linkedModules() []module {
	known := knownLicences()
	modules := []module{{"Go standard library", runtime.Version(), "BSD-3-Clause"}}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return modules
	}
	for _, dep := range build.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		modules = append(modules, module{dep.Path, dep.Version, known[dep.Path]})
	}
	slices.SortFunc(modules[1:], func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return modules
}

func knownLicences() map[string]string {
	known := map[string]string{}
	for line := range strings.Lines(licences) {
		if path, id, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			known[path] = id
		}
	}
	return known
}
