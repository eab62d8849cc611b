package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// logDir is a data directory whose host's workers have written something.
func logDir(t *testing.T, files map[string]string) (dataDir string) {
	t.Helper()
	dataDir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dataDir, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		writeLog(t, dataDir, name, text)
	}
	return dataDir
}

func writeLog(t *testing.T, dataDir, name, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dataDir, "logs", name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestLogsOfADeadWorkerAreThere(t *testing.T) {
	t.Parallel()
	dir := logDir(t, map[string]string{"w1.log.1": "one\ntwo\n", "w1.log": "three\nfour", "w2.log": "other\n", "junk": "x\n"})
	for args, want := range map[string]string{
		"logs w1":         "one\ntwo\nthree\nfour\n",
		"logs w1 -n 1":    "three\nfour\n", // the last one isn't over
		"logs w2 -o json": `{"line":"other","worker":"w2"}` + "\n",
	} {
		o := runWith(t.Context(), t, &fakeHost{}, nil, append(strings.Fields(args), "--data-dir", dir)...)
		if o.code != 0 || o.stdout != want {
			t.Errorf("%s: exit %d, %q, %s", args, o.code, o.stdout, o.stderr)
		}
	}
	o := runWith(t.Context(), t, &fakeHost{}, nil, "logs", "--data-dir", dir)
	if o.code != 0 || !strings.Contains(o.stdout, "w1 | two\n") || !strings.Contains(o.stdout, "w2 | other\n") || strings.Contains(o.stdout, "x") {
		t.Errorf("exit %d, %q", o.code, o.stdout)
	}
}

func TestLogsOfAWorkerThatNeverWasNameTheNearest(t *testing.T) {
	t.Parallel()
	dir := logDir(t, map[string]string{"default-1.log": "x\n"})
	for _, worker := range []string{"dfault-1", "../logs/default-1"} {
		o := runWith(t.Context(), t, &fakeHost{}, nil, "logs", worker, "--data-dir", dir)
		if o.code != 1 || o.stdout != "" || !strings.Contains(o.stderr, "has no log") {
			t.Errorf("%s: exit %d, %q, %s", worker, o.code, o.stdout, o.stderr)
		}
	}
	if o := runWith(t.Context(), t, &fakeHost{}, nil, "logs", "--data-dir", t.TempDir()); o.code != 0 || o.stdout != "" {
		t.Errorf("without logs: exit %d, %q %s", o.code, o.stdout, o.stderr)
	}
}

func TestFollowedLogGoesOnAcrossItsRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := logDir(t, map[string]string{"w.log": "one\n"})
		ctx, cancel := context.WithCancel(t.Context())
		var out bytes.Buffer
		p := newProgram(strings.NewReader(""), &out, &out)
		p.getenv = func(string) string { return "" }
		ended := make(chan int, 1)
		go func() { ended <- p.run(ctx, []string{"logs", "-f", "--data-dir", dir}) }()
		settle := func() { time.Sleep(2 * logEvery); synctest.Wait() }
		settle()
		writeLog(t, dir, "w.log", "tw")
		settle()
		writeLog(t, dir, "w.log", "o\n")
		path := filepath.Join(dir, "logs", "w.log")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		settle()
		writeLog(t, dir, "w.log", "three\n")
		writeLog(t, dir, "new.log", "hello\n")
		settle()
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("exit %d", code)
		}
		for _, want := range []string{"w | one\nw | two\n", "w | three\n", "new | hello\n"} {
			if strings.Count(out.String(), want) != 1 {
				t.Errorf("%q isn't there once in %q", want, out.String())
			}
		}
	})
}

func TestLogNamesAreCompleted(t *testing.T) {
	t.Parallel()
	dir := logDir(t, map[string]string{"w1.log": "", "x.log": ""})
	o := runWith(t.Context(), t, &fakeHost{}, nil, "__complete", "--data-dir", dir, "logs", "w")
	if o.code != 0 || !strings.HasPrefix(o.stdout, "w1\n:4\n") {
		t.Errorf("exit %d, %q", o.code, o.stdout)
	}
}
