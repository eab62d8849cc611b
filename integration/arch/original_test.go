package arch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const originalPage = "docs/original.md"

// The original's faults, as the page numbers them.
const (
	mendedFaults = 37
	openDefects  = 32
)

func TestEachFaultOfTheOriginalIsShownToGoRightHere(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", originalPage))
	if err != nil {
		t.Fatal(err)
	}
	report(t, originalFaults(string(page), testNames(t)))
}

// originalFaults finds rows that are missing, and tests that don't exist.
func originalFaults(page string, tests map[string]bool) []string {
	rows := map[string]string{}
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, "|"); len(cells) == 5 {
			rows[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[3])
		}
	}
	var faults []string
	for _, id := range originalIDs() {
		faults = append(faults, proofFaults(id, rows[id], tests)...)
	}
	return faults
}

func originalIDs() []string {
	var ids []string
	for i := range mendedFaults {
		ids = append(ids, fmt.Sprintf("M%d", i+1))
	}
	for i := range openDefects {
		ids = append(ids, fmt.Sprintf("D%d", i+1))
	}
	return ids
}

// proofFaults checks one row's last cell: names of tests in backquotes, or why there is none.
func proofFaults(id, proof string, tests map[string]bool) []string {
	if why, ok := strings.CutPrefix(proof, "not here: "); ok && why != "" {
		return nil
	}
	named := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(proof, -1)
	if len(named) == 0 {
		return []string{originalPage + ": " + id + " names no test, and doesn't say why"}
	}
	var faults []string
	for _, name := range named {
		if !tests[name[1]] {
			faults = append(faults, originalPage+": "+id+": there is no test "+name[1])
		}
	}
	return faults
}

// testNames are the tests of the repository, in either language.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	pattern := regexp.MustCompile(`(?m)^\s*(?:func|(?:async )?def) ((?:Test|Fuzz|Benchmark|test_)\w+)\(`)
	tests := map[string]bool{}
	for _, path := range ourFiles(t) {
		if !strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(filepath.Base(path), "test_") {
			continue
		}
		content, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pattern.FindAllSubmatch(content, -1) {
			tests[string(m[1])] = true
		}
	}
	return tests
}
