//go:build integration

package integration_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/integration/program"
)

// TestGettingStartedWorksAsWritten runs the page's commands one after the other in
// one shell, as a reader would, and compares what they print.
func TestGettingStartedWorksAsWritten(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	text := page(t, "docs/getting-started.md")
	p.write(t, "shop.py", block(t, text, "python", "# shop.py"))
	want := transcript(text)
	if strings.Count(want, "$ ") < 8 {
		t.Fatalf("only a few commands on the page:\n%s", want)
	}

	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", script(want))
	shell.Dir = p.dir
	shell.Env = append(p.env, "VIRTUAL_ENV="+filepath.Dir(filepath.Dir(program.Python(t))), "PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("(-page +printed)\n%s", diff)
	}
}

// transcript joins the page's console blocks.
func transcript(page string) string {
	var b strings.Builder
	for _, found := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(page, -1) {
		b.WriteString(found[1])
	}
	return b.String()
}

// script makes a transcript's commands a script that prints each before it runs it.
func script(transcript string) string {
	var b strings.Builder
	for line := range strings.Lines(transcript) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			b.WriteString("echo '$ '" + quote(strings.TrimSuffix(command, "\n")) + "\n" + command)
		}
	}
	return b.String()
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
