//go:build integration

package integration_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/integration/program"
)

func TestReadmesProgramRunsAsItStands(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	readme := page(t, "README.md")
	p.write(t, "words.py", block(t, readme, "python", "# words.py"))
	compiled := p.compile(t, block(t, readme, "go", "package main"))
	if err := os.MkdirAll(filepath.Join(p.dir, ".venv", "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	// A link to the interpreter would lose its environment, a script keeps it.
	p.write(t, ".venv/bin/python", "#!/bin/sh\nexec "+program.Python(t)+` "$@"`+"\n")
	if err := os.Chmod(filepath.Join(p.dir, ".venv", "bin", "python"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, compiled)
	cmd.Dir, cmd.Env = p.dir, p.env
	out, err := cmd.CombinedOutput()
	want := "map[and:2 cat:1]\nheard hi\nh <nil>\ni <nil>\n"
	if err != nil || string(out) != want {
		t.Errorf("it printed %q, %v; want %q", out, err, want)
	}
}

func TestProgramsOfTheGoPagesCompile(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.compile(t, block(t, page(t, "docs/go-sdk.md"), "go", "package main"))
	p.compile(t, block(t, page(t, "docs/workers.md"), "go", "package main"))
}

func page(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// block is the page's fenced block in a language that begins with start.
func block(t *testing.T, page, language, start string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "```"+language+"\n"+start)
	text, _, closed := strings.Cut(rest, "\n```")
	if !ok || !closed {
		t.Fatalf("no %s block that begins with %q", language, start)
	}
	return start + text + "\n"
}

func (p *place) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, filepath.FromSlash(name)), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// compile builds a program that imports this module and returns its path.
func (p *place) compile(t *testing.T, source string) string {
	t.Helper()
	p.write(t, "main.go", source)
	compiled := filepath.Join(p.dir, "program")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", compiled, filepath.Join(p.dir, "main.go"))
	build.Dir = program.Root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return compiled
}
