package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/embed"
)

// update rewrites the golden files and docs/cli.md: go test ./cmd/host -update.
var update = flag.Bool("update", false, "rewrite the golden files and docs/cli.md")

// golden compares text with a file, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with: go test ./cmd/host -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale; rewrite it with: go test ./cmd/host -update (-want +got):\n%s", path, diff)
	}
}

func TestHelpOfEveryCommandIsAsRecorded(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		"", "call", "serve", "status", "pools", "pools set", "pools unset", "pools overrides", "workers", "sessions", "sessions move", "top", "logs", "tools", "reload", "drain", "kill",
		"upgrade", "cluster", "cluster status", "cluster token", "cluster leave", "cluster remove", "cluster transfer", "cluster rebalance", "cluster forget", "cluster backup", "cluster restore", "cluster recover", "cluster init-tls",
		"config", "config check", "config show", "config schema", "config defaults", "config migrate", "cleanup", "hardware", "version", "completion",
	} {
		name := strings.TrimSpace("snakepit " + command)
		o := runWith(t.Context(), t, &fakeHost{}, nil, append(strings.Fields(command), "--help")...)
		if o.code != 0 || o.stderr != "" {
			t.Errorf("%s: exit %d, stderr %q", name, o.code, o.stderr)
		}
		golden(t, filepath.Join("testdata", "help", strings.ReplaceAll(name, " ", "-")+".txt"), o.stdout)
	}
}

func TestNoCommandShowsTheHelp(t *testing.T) {
	t.Parallel()
	o := runWith(t.Context(), t, &fakeHost{}, nil)
	want := runWith(t.Context(), t, &fakeHost{}, nil, "--help")
	if o.code != 0 || o.stdout != want.stdout {
		t.Errorf("exit %d, stdout %q", o.code, o.stdout)
	}
}

func TestTablesAreAsRecorded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 5, 4, 5, 0, time.UTC)
	var b bytes.Buffer
	st := fixedStatus()
	st.StartedAt = time.Time{} // its text depends on the machine's zone
	for _, err := range []error{
		printStatus(&b, st, now), printPools(&b, st.Pools, now), printOverrides(&b, fixedOverrides()), printWorkers(&b, fixedWorkers(), now), printSessions(&b, fixedSessions(), now),
		printToolTable(&b, fixedTools()), printTools(&b, fixedTools()),
		printReport(&b, fixedReport(embed.Ended)), printReport(&b, fixedReport(embed.WouldEnd)), printReport(&b, embed.Report{}),
		printHardware(&b, fixedHardware()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	golden(t, filepath.Join("testdata", "tables.txt"), b.String())
}

func TestJSONHasTheKeysThatScriptsRelyOn(t *testing.T) {
	t.Parallel()
	h := &fakeHost{
		tools: fixedTools(), status: fixedStatus(), workers: fixedWorkers(), sessions: fixedSessions(), report: fixedReport(embed.Ended),
		fakeOverrides: fakeOverrides{overrides: fixedOverrides()},
	}
	var b bytes.Buffer
	for _, args := range []string{
		"status", "workers", "workers --pool ml", "pools", "pools ml", "pools overrides", "sessions", "tools", "tools predict", "tools --pool default train",
		"cleanup", "hardware",
	} {
		words := append(strings.Fields(args), "-o", "json")
		if args != "cleanup" && args != "hardware" { // which talks to no host
			words = append(words, "--host", "/fake.sock")
		}
		o := runWith(t.Context(), t, h, nil, words...)
		if o.code != 0 || !json.Valid([]byte(o.stdout)) {
			t.Fatalf("%s: exit %d, %s%s", args, o.code, o.stdout, o.stderr)
		}
		b.WriteString(args + "\n" + o.stdout)
	}
	text := regexp.MustCompile(`"(uptime|age)": [0-9.]+`).ReplaceAllString(b.String(), `"$1": 1`)
	golden(t, filepath.Join("testdata", "json.txt"), text)
}

func TestEmptyListsAreListsInJSON(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"tools", "workers", "pools", "sessions"} {
		if o := runOn(t, &fakeHost{}, command, "-o", "json"); o.stdout != "[]\n" {
			t.Errorf("%s: %q", command, o.stdout)
		}
	}
	if o := runOn(t, &fakeHost{}, "status", "-o", "json"); !strings.Contains(o.stdout, `"pools": []`) {
		t.Errorf("status: %s", o.stdout)
	}
}

func TestTextFromToolsCantDriveTheTerminal(t *testing.T) {
	t.Parallel()
	evil := "a\x1b[2J\nb"
	var b bytes.Buffer
	tool := snakepit.Tool{Name: evil, Pool: evil, Description: evil, InputStream: evil, InputSchema: `{"properties":{"\u001b[2J":{"description":"\u001b"}}}`, OutputSchema: `{"type":"\u001b"}`}
	st := hostStatus{Node: evil, Pools: []poolStatus{{Name: evil, Adapter: evil, LastStartError: evil, Overrides: map[string]string{evil: evil}, Breaker: breakerStatus{State: evil}, Events: []poolEvent{{Kind: evil, Worker: evil, Reason: evil, Detail: evil}}}}}
	for _, err := range []error{
		printToolTable(&b, []snakepit.Tool{tool}), printTools(&b, []snakepit.Tool{tool}),
		printStatus(&b, st, time.Time{}), printPools(&b, st.Pools, time.Time{}), printOverridden(&b, st.Pools), printOverrides(&b, []poolOverride{{Pool: evil, Knob: evil, Value: evil, Own: evil, From: evil, Note: evil}}), printEvents(&b, st.Pools), printSessions(&b, []sessionStatus{{ID: evil, Worker: evil, Pool: evil}}, time.Time{}),
		printWorkers(&b, []workerStatus{{ID: evil, State: evil, LastError: evil}}, time.Time{}),
		printReport(&b, embed.Report{Cgroups: []embed.Cgroup{{Path: evil}}, Folders: []embed.Folder{{
			State: embed.Abandoned, DataDir: evil, RunDir: evil, Note: evil, Processes: []embed.Process{{Command: evil, Token: evil}},
			Removed: []string{evil}, Records: []string{evil},
		}}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("an escape got through:\n%q", b.String())
	}
}

func TestReferenceIsGeneratedFromTheCommands(t *testing.T) {
	t.Parallel()
	p, _ := bareProgram()
	golden(t, filepath.Join("..", "..", "docs", "cli.md"), reference(p.root()))
}

// reference is docs/cli.md.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# The program\n\n<!-- Written by `go test ./cmd/host -update` from the commands; don't edit it. -->\n\n")
	b.WriteString(paragraphs(root.Long) + "\n" + fence(root.Example))
	b.WriteString("\nEvery command takes these flags:\n\n" + flagTable(root.PersistentFlags()))
	for _, cmd := range commands(root) {
		b.WriteString("\n## " + cmd.CommandPath() + "\n\n" + fence(useLine(cmd)) + "\n" + paragraphs(cmd.Long))
		if cmd.Example != "" {
			b.WriteString("\n" + fence(cmd.Example))
		}
		if cmd.LocalNonPersistentFlags().HasAvailableFlags() {
			b.WriteString("\n" + flagTable(cmd.LocalNonPersistentFlags()))
		}
	}
	return b.String()
}

// commands are a command's, and theirs, but for hidden ones.
func commands(of *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, cmd := range of.Commands() {
		if !cmd.Hidden {
			all = append(append(all, cmd), commands(cmd)...)
		}
	}
	return all
}

// paragraphs keeps what is indented as it stands.
func paragraphs(text string) string {
	var parts []string
	for part := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(part, "  ") {
			part = strings.TrimSuffix(fence(part), "\n")
		}
		parts = append(parts, part+"\n")
	}
	return strings.Join(parts, "\n")
}

func fence(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return "```\n" + strings.Join(lines, "\n") + "\n```\n"
}

func flagTable(flags *pflag.FlagSet) string {
	var b strings.Builder
	b.WriteString("| flag | does |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			name, usage := describeFlag(f)
			b.WriteString("| `" + strings.ReplaceAll(name, "|", `\|`) + "` | " + strings.ReplaceAll(usage, "|", `\|`) + " |\n")
		}
	})
	return b.String()
}
