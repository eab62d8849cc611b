package arch_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSource walks our own Go source once for what only syntax shows.
func TestSourceKeepsTheHouseRules(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if p.generated() {
			continue
		}
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			path := filepath.Join(p.Dir, name)
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			report(t, sourceFaults(path, src))
		}
	}
}

// sourceFaults finds what the house rules forbid in one Go file. The rules for
// tests and for the rest differ; the file's name says which it is.
func sourceFaults(path string, src []byte) []string {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution|parser.ParseComments)
	if err != nil {
		return []string{err.Error()}
	}
	if ast.IsGenerated(file) {
		return nil
	}
	var faults []string
	complain := func(at token.Pos, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%s: %s", fset.Position(at), fmt.Sprintf(format, args...)))
	}
	if strings.HasSuffix(path, "_test.go") {
		sleeps(file, complain)
		idleFuzzTargets(file, complain)
		return faults
	}
	unownedGoroutines(file, complain)
	emptyNames(file, complain)
	if !strings.HasSuffix(filepath.ToSlash(path), "plugin/shim/init.go") {
		inits(file, complain)
	}
	return faults
}

type complaint func(at token.Pos, format string, args ...any)

func unownedGoroutines(file *ast.File, complain complaint) {
	ast.Inspect(file, func(n ast.Node) bool {
		if stmt, ok := n.(*ast.GoStmt); ok {
			complain(stmt.Pos(), "go statement; use errgroup.Group.Go or sync.WaitGroup.Go, so that someone waits for it")
		}
		return true
	})
}

func inits(file *ast.File, complain complaint) {
	for _, decl := range file.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			complain(fn.Pos(), "init; only plugin/shim/init.go has one")
		}
	}
}

// emptyNames finds type names that say nothing, which means that the thing isn't
// understood yet.
func emptyNames(file *ast.File, complain complaint) {
	empty := []string{"Manager", "Helper", "Util", "Utils", "Common", "Base", "Impl", "Info", "Data", "Handler", "Wrapper", "Service"}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		for _, word := range empty {
			if strings.HasSuffix(strings.ToUpper(spec.Name.Name[:1])+spec.Name.Name[1:], word) {
				complain(spec.Pos(), "type %s: %q says nothing; name what it is", spec.Name.Name, word)
			}
		}
		return true
	})
}

// sleeps finds time.Sleep where no fake clock can be meant: outside the bubbles of
// testing/synctest, outside what a helper with "bubble" in its name runs in one, and
// outside the helpers of a file that has either.
func sleeps(file *ast.File, complain complaint) {
	bubbles := bubbly(file)
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || bubbly(fn) || bubbles && !strings.HasPrefix(fn.Name.Name, "Test") {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && isIdent(sel.X, "time") && sel.Sel.Name == "Sleep" {
				complain(sel.Pos(), "time.Sleep in a test; wait on a fact, or use testing/synctest")
			}
			return true
		})
	}
}

// idleFuzzTargets finds fuzz targets that never call f.Fuzz, or have no seed, given
// by f.Add or by a function of the same file that calls it.
func idleFuzzTargets(file *ast.File, complain complaint) {
	functions := map[string]*ast.FuncDecl{}
	for _, decl := range file.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
			functions[fn.Name.Name] = fn
		}
	}
	for name, fn := range functions {
		if !strings.HasPrefix(name, "Fuzz") {
			continue
		}
		if !names(fn, "Fuzz") {
			complain(fn.Pos(), "%s never calls f.Fuzz", name)
		}
		seeded := names(fn, "Add")
		for other, g := range functions {
			seeded = seeded || other != name && names(fn, other) && names(g, "Add")
		}
		if !seeded {
			complain(fn.Pos(), "%s never calls f.Add", name)
		}
	}
}

// names reports whether a function's body names something.
func names(fn *ast.FuncDecl, name string) bool {
	found := false
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		found = found || n != nil && isIdent(n, name)
		return !found
	})
	return found
}

// bubbly reports whether a piece of source names testing/synctest, or a helper
// that opens a bubble.
func bubbly(in ast.Node) bool {
	found := false
	ast.Inspect(in, func(n ast.Node) bool {
		ident, ok := n.(*ast.Ident)
		found = found || ok && (ident.Name == "synctest" || strings.Contains(strings.ToLower(ident.Name), "bubble"))
		return !found
	})
	return found
}

func isIdent(n ast.Node, name string) bool {
	ident, ok := n.(*ast.Ident)
	return ok && ident.Name == name
}
