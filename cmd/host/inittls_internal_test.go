package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/cluster/link"
)

func TestInitTLSSaysWhatItMadeAndWhatIsNext(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	var b strings.Builder
	say := func(words ...string) {
		o := runWith(t.Context(), t, &fakeHost{}, nil, append([]string{"cluster", "init-tls"}, words...)...)
		b.WriteString("$ snakepit cluster init-tls " + strings.Join(words, " ") + "\n" + o.stdout + o.stderr + "\n")
		if o.code != 0 {
			b.WriteString("exit " + string(rune('0'+o.code)) + "\n\n")
		}
	}
	say("--dir", dir)
	say("--dir", dir)
	say("--dir", dir, "--client", "reports")
	say("--dir", dir, "--client", "reports")
	say("--dir", dir+"2", "--client", "reports", "-o", "json")
	say("--dir", dir, "--client", "../reports")
	say("--dir", dir, "--client", "..")
	say("reports")
	golden(t, filepath.Join("testdata", "init-tls.txt"), strings.ReplaceAll(b.String(), dir, "DIR"))
}

func TestInitTLSMakesFilesThatServe(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	dir := filepath.Join(data, "tls")
	if o := runWith(t.Context(), t, &fakeHost{}, nil, "cluster", "init-tls", "--data-dir", data, "--client", "reports"); o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	if _, err := link.IssueNode(dir, "one", nil); err != nil {
		t.Error(err)
	}
	for _, f := range []link.Files{link.NodeFiles(dir), link.ClientFiles(filepath.Join(dir, "clients", "reports"))} {
		if _, err := link.LoadIdentity(f, nil); err != nil {
			t.Error(err)
		}
	}
	content, err := os.ReadFile(filepath.Join(dir, "clients", "reports", "client.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil || len(c.URIs) != 1 || c.URIs[0].String() != "snakepit:client/reports" {
		t.Errorf("it's of %v, %v", c.URIs, err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if o := runWith(t.Context(), t, &fakeHost{}, nil, "cluster", "init-tls", "--data-dir", data); o.code != 1 {
		t.Errorf("a second time: exit %d", o.code)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "ca-key.pem")); err != nil || string(after) != string(before) {
		t.Errorf("the authority's key is another: %v", err)
	}
}
