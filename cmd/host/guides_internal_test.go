package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// Commands that a guide shows and the program doesn't know are worse than no guide.
func TestCommandsInTheGuidesAreOnesThatTheProgramTakes(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	guides, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	guides = append(guides, filepath.Join(root, "README.md"), filepath.Join(root, "examples", "cluster", "README.md"))
	guides = slices.DeleteFunc(guides, func(path string) bool { return filepath.Base(path) == "cli.md" }) // it's made of the commands
	found := 0
	for _, path := range guides {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandsIn(string(text)) {
			found++
			if err := parses(line); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(path), line, err)
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d commands were found: is this test deaf?", found)
	}
}

func TestWrongCommandsInAGuideAreFound(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"snakepit clutser status", "snakepit cluster stauts", "snakepit cluster status --wtach", "snakepit cluster transfer a b", "snakepit drain a b",
	} {
		if parses(line) == nil {
			t.Errorf("%q passes", line)
		}
	}
	got := commandsIn("a `snakepit top` b\n```\n$ snakepit status  # why\nx=$(snakepit cluster token --uses 2)\nsnakepit serve \\\n  --watch &\n```\n")
	want := []string{"snakepit top", "snakepit status", "snakepit cluster token --uses 2", "snakepit serve --watch"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

// commandsIn are the command lines of a page: those in its blocks, and those between
// backticks.
func commandsIn(page string) (all []string) {
	page = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(page, "")
	for i, part := range strings.Split(page, "```") {
		if i%2 == 1 {
			for line := range strings.Lines(part) {
				all = appendCommand(all, strings.TrimPrefix(strings.TrimSpace(line), "$ "))
			}
			continue
		}
		for j, word := range strings.Split(part, "`") {
			if j%2 == 1 {
				all = appendCommand(all, word)
			}
		}
	}
	return all
}

// appendCommand adds a line that is a command of the program's, without what is the shell's.
func appendCommand(all []string, line string) []string {
	if name, rest, ok := strings.Cut(line, "=$("); ok && !strings.Contains(name, " ") {
		line = strings.TrimSuffix(rest, ")")
	}
	rest, ok := strings.CutPrefix(line, "snakepit ")
	if !ok || rest == "" || rest[0] != '-' && !unicode.IsLower(rune(rest[0])) {
		return all // it's the name of something else
	}
	for _, end := range []string{" #", " &", " |", " >", "   "} {
		line, _, _ = strings.Cut(line, end)
	}
	return append(all, strings.Join(strings.Fields(line), " "))
}

// parses reports whether the program knows a command, its flags and how many
// arguments it takes. Where a page only names a command, nothing else is asked for.
func parses(line string) error {
	p, _ := bareProgram()
	words := shellWords(strings.NewReplacer("[", "", "]", "").Replace(line))[1:]
	cmd, rest, err := p.root().Find(words)
	if err != nil {
		return err
	}
	if cmd.HasAvailableSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return usagef("no command %s", rest[0])
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil || len(rest) == 0 {
		return err
	}
	if help, _ := cmd.Flags().GetBool("help"); help {
		return nil
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// shellWords splits a line at spaces, but not between quotes.
func shellWords(line string) (words []string) {
	var quote rune
	fields := strings.FieldsFunc(line, func(r rune) bool {
		switch {
		case quote == r:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		}
		return quote == 0 && r == ' '
	})
	for _, f := range fields {
		words = append(words, strings.Trim(f, `"'`))
	}
	return words
}
