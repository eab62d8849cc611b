package ledger_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/host/boltfile"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestIncarnationGrowsWithEachOpeningAndOverTornFiles(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	for want := uint64(1); want <= 9; want++ {
		l := open(t, path)
		if l.Incarnation() != want {
			t.Fatalf("incarnation %d, want %d", l.Incarnation(), want)
		}
		if torn := want > 1 && want%3 == 1; torn != (l.SetAside() != "") {
			t.Errorf("opening %d set aside %q", want, l.SetAside())
		}
		must(t, l.Close())
		if want%3 == 0 {
			must(t, os.Truncate(path, 5000))
		}
	}
}

func TestEitherPlaceOfTheIncarnationIsEnough(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	for range 4 {
		must(t, open(t, path).Close())
	}
	for i, lose := range []func() error{
		func() error { return os.Remove(path + ".incarnation") },
		func() error { return os.WriteFile(path+".incarnation", []byte("rubbish"), 0o600) },
		func() error { return os.WriteFile(path+".incarnation", []byte("2\n"), 0o600) },
		func() error { return os.Remove(path) },
		func() error { return os.WriteFile(path, []byte("rubbish"), 0o600) },
	} {
		must(t, lose())
		l := open(t, path)
		if want := uint64(5 + i); l.Incarnation() != want {
			t.Errorf("after loss %d: incarnation %d, want %d", i, l.Incarnation(), want)
		}
		must(t, l.Close())
	}
}

// TestIncarnationNeverStartsOverByMistake: a lower one would let in what was fenced
// off.
func TestIncarnationNeverStartsOverByMistake(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	must(t, open(t, path).Close())
	must(t, errors.Join(os.Truncate(path, 5000), os.WriteFile(path+".incarnation", []byte("rubbish"), 0o600)))
	for range 2 {
		_, err := ledger.Open(path, ledger.Options{})
		if err == nil || !strings.Contains(err.Error(), "incarnation") {
			t.Fatalf("Open: %v", err)
		}
	}
	must(t, os.WriteFile(path+".incarnation", []byte("7"), 0o600))
	if l := open(t, path); l.Incarnation() != 8 {
		t.Errorf("incarnation %d, want 8", l.Incarnation())
	}
}

func TestTornLedgerIsReportedByRead(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := open(t, path)
	must(t, l.Intend(intent("ml-1")))
	must(t, l.Close())
	must(t, os.Truncate(path, 5000))
	if _, err := ledger.Read(path); !errors.Is(err, boltfile.ErrTorn) {
		t.Errorf("Read: %v", err)
	}
	l = open(t, path)
	if l.SetAside() != path+".torn-1" {
		t.Errorf("set aside %q", l.SetAside())
	}
	expect(t, l)
}

// TestDiskThatFailsUnderAnOpenLedgerIsAnError: bbolt would end the program.
func TestDiskThatFailsUnderAnOpenLedgerIsAnError(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := open(t, path)
	must(t, l.Intend(intent("ml-1")))
	must(t, os.Truncate(path, 0))
	if _, err := l.Records(); !errors.Is(err, boltfile.ErrTorn) {
		t.Errorf("Records: %v", err)
	}
	for range 3 {
		err := l.Intend(intent("ml-2"))
		refused(t, err, errdefs.Internal)
		if !errors.Is(err, boltfile.ErrTorn) {
			t.Errorf("Intend: %v", err)
		}
	}
	if err := l.Close(); !errors.Is(err, boltfile.ErrTorn) {
		t.Errorf("Close: %v", err)
	}
}
