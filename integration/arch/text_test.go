package arch_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// textRules are what no file of ours may say. The patterns are written so that
// they don't match themselves.
func textRules() []textRule {
	return []textRule{
		{regexp.MustCompile(`(^|[^\w.$}/-])/(?:work|root|farm|home/\w+|Users/\w+)/`), "a path of one machine"},
		{regexp.MustCompile(`\b(?:TOD[O]|FIXM[E]|XX[X])\b`), "unfinished work"},
		{regexp.MustCompile(`(?i)\bnot[ ](?:yet )?implemented\b`), "unfinished work"},
		{regexp.MustCompile(`(?i)pypi[.]org|pythonhosted[.]org|proxy[.]golang|sum[.]golang|registry[.]npmjs`), "a registry's host name: the client's own setting says where packages come from"},
		{regexp.MustCompile(`(?i)\bissue[ ]#?\d`), "an issue's number: say what it's about"},
		{regexp.MustCompile(`\bDETAILS\b(?:\.md)?[ ]?\d*`), "a document that isn't in the repository"},
		{regexp.MustCompile(`(?i)\b(?:failed|unable)[ ]to\b`), "an empty phrase: say where it happened"},
		{regexp.MustCompile(`[ \t]+$`), "a space at the end of the line"},
	}
}

type textRule struct {
	pattern *regexp.Regexp
	means   string
}

func TestTextSpeaksOfTheProjectAlone(t *testing.T) {
	t.Parallel()
	for _, path := range ourFiles(t) {
		content, err := os.ReadFile(path)
		if os.IsNotExist(err) { // removed from the tree, not yet from the index
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		report(t, textFaults(path, content))
	}
}

// textFaults finds the lines of one file that break a text rule. Binary files say
// nothing.
func textFaults(path string, content []byte) []string {
	if bytes.IndexByte(content, 0) >= 0 {
		return nil
	}
	var faults []string
	for i, line := range strings.Split(string(content), "\n") {
		for _, rule := range textRules() {
			if hit := rule.pattern.FindString(line); hit != "" {
				faults = append(faults, fmt.Sprintf("%s:%d: %q is %s", path, i+1, strings.TrimSpace(hit), rule.means))
			}
		}
	}
	return faults
}

// ourFiles are the files of the repository, those not yet added too, without what
// a generator or a fuzzer wrote.
func ourFiles(t *testing.T) []string {
	t.Helper()
	root := filepath.Join("..", "..")
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	var files []string
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if foreign.MatchString(name) {
			continue
		}
		files = append(files, filepath.Join(root, name))
	}
	return files
}

// foreign are the files that others wrote, or machines did.
var foreign = regexp.MustCompile(`(^LICENSE|^NOTICE|\.sum|\.pb\.go|_pb2(_grpc)?\.pyi?|/testdata/.*|\.png)$`)
