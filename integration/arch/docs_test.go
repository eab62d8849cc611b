package arch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestErrorsPageHasEveryReason(t *testing.T) {
	t.Parallel()
	golden := read(t, "proto/errdefs/testdata/reasons.txt")
	report(t, reasonFaults(read(t, "docs/errors.md"), golden))
}

func TestLinksBetweenPagesLead(t *testing.T) {
	t.Parallel()
	for _, path := range ourFiles(t) {
		if content, err := os.ReadFile(path); strings.HasSuffix(path, ".md") && err == nil {
			report(t, linkFaults(path, string(content), exists))
		}
	}
}

func TestProgramsLicenceIsTheProjects(t *testing.T) {
	t.Parallel()
	if read(t, "cmd/host/LICENSE") != read(t, "LICENSE") {
		t.Error("cmd/host/LICENSE, which the program prints, differs from LICENSE")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// reasonRow is a row of the page's tables: reason, class, gRPC code.
var reasonRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z_]+) \\| ([A-Z_]+) \\|")

// reasonFaults compares the errors page with the golden list, which the tests of
// both languages read too.
func reasonFaults(page, golden string) []string {
	want := map[string]bool{}
	for line := range strings.Lines(golden) {
		if fields := strings.Fields(line); len(fields) == 3 {
			want[strings.Join(fields, " ")] = true
		}
	}
	var faults []string
	for _, row := range reasonRow.FindAllStringSubmatch(page, -1) {
		key := strings.Join(row[1:], " ")
		if !want[key] {
			faults = append(faults, fmt.Sprintf("docs/errors.md: %q isn't in the list of reasons, or stands twice", key))
		}
		delete(want, key)
	}
	for key := range want {
		faults = append(faults, fmt.Sprintf("docs/errors.md: %q is missing", key))
	}
	return faults
}

// code is what looks like a link in Go and isn't one.
var code = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)

// linkFaults finds links to files that aren't there; exists says which are.
func linkFaults(path, content string, exists func(string) bool) []string {
	var faults []string
	for _, hit := range link.FindAllStringSubmatch(code.ReplaceAllString(content, ""), -1) {
		if target := filepath.Join(filepath.Dir(path), hit[1]); !strings.Contains(hit[1], "://") && !exists(target) {
			faults = append(faults, fmt.Sprintf("%s: nothing is at %s", path, hit[1]))
		}
	}
	return faults
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
