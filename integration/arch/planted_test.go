package arch_test

import (
	"strings"
	"testing"
)

// TestPlantedImportFaultsAreFound and its neighbours show that each rule fires on
// the fault it's there for, and stays silent on what only looks like it.
func TestPlantedImportFaultsAreFound(t *testing.T) {
	t.Parallel()
	may := map[string][]string{"host": {"proto/errdefs"}, "": {}}
	mustNot := map[string][]string{"host": {"os/exec", "github.com/hashicorp"}}
	for name, tt := range map[string]struct {
		pkg  pkg
		want string // part of the only fault; empty: none
	}{
		"a package without a row":    {pkg{ImportPath: module + "/web"}, "no row"},
		"an import out of its row":   {pkg{ImportPath: module + "/host", Imports: []string{module + "/plugin"}}, `imports "plugin"`},
		"the root, out of its row":   {pkg{ImportPath: module + "/host", Imports: []string{module}}, `imports ""`},
		"a package far down":         {pkg{ImportPath: module + "/host", Deps: []string{"os/exec"}}, "reaches os/exec"},
		"a whole tree far down":      {pkg{ImportPath: module + "/host", Deps: []string{"github.com/hashicorp/raft"}}, "reaches github.com/hashicorp/raft"},
		"a name that starts alike":   {pkg{ImportPath: module + "/host", Deps: []string{"os/execute"}, Imports: []string{module + "x"}}, ""},
		"an import in its row":       {pkg{ImportPath: module + "/host", Imports: []string{"fmt", module + "/proto/errdefs"}}, ""},
		"the root, importing nobody": {pkg{ImportPath: module, Imports: []string{"context"}}, ""},
	} {
		expect(t, name, importFaults(tt.pkg, may, mustNot), tt.want)
	}
}

func TestPlantedMissingPackageCommentIsFound(t *testing.T) {
	t.Parallel()
	files := []string{"a.go"}
	expect(t, "no comment", docFaults(pkg{ImportPath: module + "/host", GoFiles: files}), "no package comment")
	expect(t, "a comment", docFaults(pkg{ImportPath: module + "/host", GoFiles: files, Doc: "Package host …"}), "")
	expect(t, "tests alone", docFaults(pkg{ImportPath: module + "/integration"}), "")
	expect(t, "generated", docFaults(pkg{ImportPath: module + "/proto/snakepit/v1", GoFiles: files}), "")
}

func TestPlantedSourceFaultsAreFound(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		path, src string
		want      string
	}{
		"a goroutine that nobody owns": {"a.go", `func f() { go f() }`, "go statement"},
		"a goroutine in a test":        {"a_test.go", `func f() { go f() }`, ""},
		"an init":                      {"a.go", `func init() {}`, "init"},
		"a method called init":         {"a.go", `type t int; func (t) init() {}`, ""},
		"the shim's init":              {"plugin/shim/init.go", `func init() {}`, ""},
		"a name that says nothing":     {"a.go", `type PoolManager struct{}`, "says nothing"},
		"an unexported one":            {"a.go", `type helper struct{}`, "says nothing"},
		"one inside a function":        {"a.go", `func f() { type callInfo int }`, "says nothing"},
		"a name that says something":   {"a.go", `type Manageress int; type Database int`, ""},
		"a sleeping test":              {"a_test.go", `func TestA(t *testing.T) { time.Sleep(1) }`, "time.Sleep"},
		"a sleeping helper":            {"a_test.go", `func wait() { time.Sleep(1) }`, "time.Sleep"},
		"a sleep in a bubble":          {"a_test.go", `func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }`, ""},
		"a helper beside a bubble":     {"a_test.go", `func wait() { time.Sleep(1) }; func TestA(t *testing.T) { synctest.Test(t, f) }`, ""},
		"a sleeping test beside one":   {"a_test.go", `func TestB(t *testing.T) { time.Sleep(1) }; func TestA(t *testing.T) { synctest.Test(t, f) }`, "time.Sleep"},
		"a fuzz target that is idle":   {"a_test.go", `func FuzzA(f *testing.F) { f.Add(1) }`, "never calls f.Fuzz"},
		"a fuzz target without a seed": {"a_test.go", `func FuzzA(f *testing.F) { f.Fuzz(g) }`, "never calls f.Add"},
		"a fuzz target":                {"a_test.go", `func FuzzA(f *testing.F) { f.Add(1); f.Fuzz(g) }`, ""},
		"source that isn't Go":         {"a.go", `func {`, "expected"},
	} {
		expect(t, name, sourceFaults(tt.path, []byte("package a\n"+tt.src+"\n")), tt.want)
	}
}

func TestPlantedTextFaultsAreFound(t *testing.T) {
	t.Parallel()
	// Each is put together here, so that this file isn't itself a fault.
	for _, line := range []string{
		"see /" + "work/main/README.md", "/" + "root/.cache", "cd /" + "home/ann/src", "# TO" + "DO: finish", "// FIX" + "ME",
		"error: not" + " implemented", "https://py" + "pi.org/simple", "see issue" + " 12", "issue" + " #7",
		"see DET" + "AILS 38", "fail" + "ed to open", "a line with a tail ",
	} {
		expect(t, line, textFaults("a.md", []byte("fine\n"+line+"\nfine\n")), "a.md:2")
	}
	for _, line := range []string{
		"a/" + "work/of", "$HOME/" + "root/x", "the XXXXXX of mktemp", "github.com/pypi/x", "an issue", "mktemp /tmp/a.XXXXXX", "see DESIGN.md",
	} {
		expect(t, line, textFaults("a.md", []byte(line)), "")
	}
	expect(t, "binary", textFaults("a.bin", []byte("/"+"work/\x00")), "")
}

func TestPlantedDocFaultsAreFound(t *testing.T) {
	t.Parallel()
	golden := "# reason class code\nexists  exists  ALREADY_EXISTS\n"
	row := "| `exists` | exists | ALREADY_EXISTS | when | what |\n"
	expect(t, "a page that agrees", reasonFaults(row, golden), "")
	expect(t, "a reason missing", reasonFaults("", golden), "is missing")
	expect(t, "a reason twice", reasonFaults(row+row, golden), "stands twice")
	expect(t, "a reason of its own", reasonFaults(row+"| `lost` | internal | INTERNAL |\n", golden), "isn't in the list")

	exists := func(path string) bool { return path == "docs/errors.md" }
	expect(t, "a link that leads nowhere", linkFaults("README.md", "see [this](docs/eror.md#top)", exists), "docs/eror.md")
	expect(t, "a link that leads", linkFaults("docs/README.md", "see [this](errors.md#top), [that](https://go.dev), [here](#top)", exists), "")
}

// expect checks that there is exactly one fault and that it says want, or none
// where want is empty.
func expect(t *testing.T, name string, faults []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(faults) > 0:
		t.Errorf("%s: found %q, want nothing", name, faults)
	case want != "" && (len(faults) != 1 || !strings.Contains(faults[0], want)):
		t.Errorf("%s: found %q, want one fault with %q", name, faults, want)
	}
}
